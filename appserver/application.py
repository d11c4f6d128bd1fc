"""The application: what a server serves, before and apart from any connection.

It is built once, usually at the top of a module, and given to `appserver.serve`, to the `appserver run`
command, or to the loopback harness. It knows nothing of ports, certificates and settings files.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

from appserver.renewals import Renewals
from protocol.peer import Service

Authenticate: TypeAlias = Callable[[Mapping[str, object], str], Awaitable[str]]
"""Called with a client's credentials and address; returns the principal's name or raises `NotAuthenticated`.

An empty name leaves it at that of the client's certificate, which `appserver.current_certificate` gives."""

Lifespan: TypeAlias = Callable[[], AbstractAsyncContextManager[object]]


class NotAuthenticated(Exception):
    """Raised by an `authenticate` function: the client is refused.

    Args:
        text: a sentence for the user; it should not say whether the account exists.
    """

    def __init__(self, text: str = "the name or the password is wrong") -> None:
        super().__init__(text)


class Application:
    """An application server's application.

    For example::

        app = Application("orders")
        app.register(OrderDesk(database))

    Args:
        name: shown to clients and in logs.
        authenticate: decides who a client is; without one, whoever gets a connection may call, under the name in
            its certificate where the server wants certificates.
        lifespan: returns an async context manager that is entered before the server listens and
            left after the last connection has ended: for a database, for background tasks.
    """

    def __init__(
        self,
        name: str,
        *,
        authenticate: Authenticate | None = None,
        lifespan: Lifespan | None = None,
    ) -> None:
        self.name = name
        self.authenticate = authenticate
        self.lifespan = lifespan
        self.service = Service()
        self.service.add(Renewals(), listed=False)

    def register(self, implementation: object) -> None:
        """Serve an object's interfaces.

        Args:
            implementation: an instance of a class that derives from one or more contracts. All clients
                share it; `current_call` says who is calling.

        Raises:
            ContractError: it does not implement them, or one of them is served already.
        """
        self.service.add(implementation)

    def __repr__(self) -> str:
        return f"<Application {self.name!r} with {', '.join(self.service.contracts) or 'nothing'}>"
