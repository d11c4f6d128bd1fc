"""RPyC with TLS; the client keeps the remote function, so a call is one message each way."""

from __future__ import annotations

from typing import Any

import rpyc
from rpyc.utils.authenticators import SSLAuthenticator
from rpyc.utils.factory import ssl_connect
from rpyc.utils.server import ThreadedServer

from tests.bench import loads
from tests.bench.sides import HOST, Life, Load


class Service(rpyc.Service):  # type: ignore[misc]
    """The handlers."""

    def exposed_add(self, left: int, right: int) -> int:
        """The small call."""
        return left + right


def serve(life: Life) -> None:
    """Serve until the process ends."""
    authenticator = SSLAuthenticator(str(life.files.key), str(life.files.certificate))
    server: Any = ThreadedServer(Service(), hostname="127.0.0.1", port=0, authenticator=authenticator)
    life.announce(server.port)
    server.start()


def load(load: Load) -> None:
    """Take orders."""
    connection = ssl_connect(HOST, load.port, ca_certs=str(load.files.authority))
    add = connection.root.add
    for order in load.orders():
        with load.meter() as meter:
            count = loads.add_blocking(add, order)
        meter.report(count)
    connection.close()
