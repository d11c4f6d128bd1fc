"""The contract that the typing examples share."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Protocol

import attrs

from protocol.interface import Blob, Event, Interface, Stream, event


@attrs.frozen
class NewOrder:
    customer: str
    total: Decimal


@attrs.frozen
class Order:
    number: int
    customer: str
    total: Decimal


@attrs.frozen
class OrderChanged:
    number: int


@attrs.define
class OutOfStock(Exception):
    article: str
    left: int


class Orders(Interface, Protocol, version=(1, 0), errors=[OutOfStock]):
    async def find(self, number: int) -> Order: ...
    async def add(self, order: NewOrder, *, urgent: bool = False) -> int: ...
    def follow(self, since: datetime) -> Stream[Order]: ...
    async def bulk_load(self, rows: Stream[NewOrder]) -> int: ...
    def exchange(self, rows: Stream[NewOrder]) -> Stream[Order]: ...
    async def attach(self, number: int, file: Blob) -> None: ...
    def fetch(self, number: int) -> Blob: ...

    changed: Event[OrderChanged] = event(policy="latest", key="number")


class BlockingOrders(Interface, Protocol, version=(1, 0), name="Orders", errors=[OutOfStock]):
    def find(self, number: int) -> Order: ...
    def add(self, order: NewOrder, *, urgent: bool = False) -> int: ...
    def follow(self, since: datetime) -> Stream[Order]: ...

    changed: Event[OrderChanged] = event(policy="latest", key="number")
