"""What the tests share: an order desk on a folder of its own, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appclient import Client
from appserver.testing import loopback
from orders.app import build_application
from orders.contract import OrderDesk


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with loopback(build_application(tmp_path)) as client:
        yield client


@pytest.fixture
def desk(client: Client) -> OrderDesk:
    return client.use(OrderDesk)
