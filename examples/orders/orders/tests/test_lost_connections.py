"""A connection that breaks in the middle of a call: the order is placed, and it is placed once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio

from appclient import Client
from appserver.testing import Network, loopback
from orders.app import build_application
from orders.client import load, place
from orders.contract import NewLine, NewOrder, OrderDesk
from protocol.settings import Settings, TimeoutSettings

QUICK = Settings(timeouts=TimeoutSettings(reconnect_first=0.01))
AN_HOUR_AGO = datetime.now(UTC) - timedelta(hours=1)


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
async def client(tmp_path: Path, network: Network) -> AsyncIterator[Client]:
    application = build_application(tmp_path)
    async with loopback(application, network=network, settings=QUICK) as client:
        yield client


async def test_an_order_whose_answer_is_lost_is_placed_once(desk: OrderDesk, network: Network) -> None:
    network.drop_reply()
    with trio.fail_after(10):
        number = await place(desk, NewOrder(1, (NewLine("SAW-300", 2),)))
    assert len(network.links) == 2
    assert (await desk.summary()).orders == 1
    assert (await desk.find(number)).lines[0].quantity == 2
    (saw,) = await desk.products("SAW-300")
    assert saw.stock == 10


@pytest.mark.parametrize("sent", [1, 50, 150, 250, 400])
async def test_an_order_that_breaks_off_on_its_way_is_placed_once(
    desk: OrderDesk, network: Network, sent: int
) -> None:
    pipe = network.link.to_server
    pipe.cut_after(pipe.statistics().sent + sent)
    with trio.fail_after(10):
        await place(desk, NewOrder(1, (NewLine("SAW-300", 2),), note="ring twice, " * 40))
    assert len(network.links) == 2
    assert (await desk.summary()).orders == 1


async def test_a_load_that_breaks_off_is_completed(desk: OrderDesk, network: Network) -> None:
    pipe = network.link.to_server
    pipe.cut_after(pipe.statistics().sent + 12_000)
    rows = [NewOrder(1 + index % 3, (NewLine("TAPE-50", 1),)) for index in range(250)]
    with trio.fail_after(20):
        report = await load(desk, rows)
    assert len(network.links) == 2
    assert report.added + report.known == 250
    assert report.known in (0, 100, 200), "whole batches had been placed, or none yet"
    placed = [order.customer.number async for order in desk.export(AN_HOUR_AGO)]
    assert placed == [order.customer for order in rows]
