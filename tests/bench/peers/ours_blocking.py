"""appserver's synchronous client, against the server of `ours`."""

from __future__ import annotations

from appclient.bridge import blocking
from protocol.transport import Address
from tests.bench import loads
from tests.bench.contract import Bench
from tests.bench.peers.ours import settings_for
from tests.bench.sides import HOST, Load


def load(load: Load) -> None:
    """Take orders."""
    with blocking.connect(
        Address(HOST, load.port),
        resources=load.files.folder / "client",
        settings=settings_for(load.words),
    ) as server:
        add = server.use(Bench).add
        for order in load.orders():
            with load.meter() as meter:
                count = loads.add_blocking(add, order)  # type: ignore[arg-type]
            meter.report(count)
