"""Connecting over TCP: options, and one error for each cause."""

from __future__ import annotations

import errno
import socket

import attrs
import pytest
import trio
import trio.testing

from protocol.settings import TimeoutSettings
from protocol.transport import (
    Address,
    ConnectionRefused,
    ConnectTimeout,
    TransportError,
    UnknownHost,
    Unreachable,
    connect_tcp,
    connect_transport,
)
from protocol.transport.connecting import translate_connect_error
from protocol.transport.sockets import NOTSENT_LOWAT, USER_TIMEOUT
from tests.protocol.transport import rig


async def test_a_connection_has_all_options_that_the_platform_knows() -> None:
    async with rig.listening() as (address, accept):
        sock = await connect_tcp(address, 5)
        other = await accept()
        assert sock.getblocking() is False
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        for name, value in (("TCP_NOTSENT_LOWAT", NOTSENT_LOWAT), ("TCP_USER_TIMEOUT", USER_TIMEOUT)):
            if hasattr(socket, name):
                assert sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == value
        sock.close()
        other.close()


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind((rig.HOST, 0))
        address = Address(rig.HOST, unused.getsockname()[1])
        with pytest.raises(ConnectionRefused, match="no program listens there") as caught:
            await connect_transport(address, context=None, timeouts=rig.TIMEOUTS)
        assert caught.value.address == address.location
        assert "client_server.port" in caught.value.next_step


async def test_an_unknown_name() -> None:
    resolver = Resolver(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    trio.socket.set_custom_hostname_resolver(resolver)
    with pytest.raises(UnknownHost, match=r"nowhere\.example:19813: this host name is not known"):
        await connect_transport(Address("nowhere.example"), context=None, timeouts=rig.TIMEOUTS)
    resolver.error = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    with pytest.raises(UnknownHost, match="no name server answers"):
        await connect_transport(Address("nowhere.example"), context=None, timeouts=rig.TIMEOUTS)


@attrs.define
class Resolver(trio.abc.HostnameResolver):
    """A name server of the test's own, so that no test asks the network."""

    error: socket.gaierror | None = None

    async def getaddrinfo(self, *_: object, **__: object) -> list[object]:  # type: ignore[override]
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        await trio.sleep_forever()

    async def getnameinfo(self, *_: object) -> tuple[str, str]:
        raise NotImplementedError


async def test_nobody_answers(autojump_clock: trio.testing.MockClock) -> None:
    trio.socket.set_custom_hostname_resolver(Resolver())
    timeouts = TimeoutSettings(handshake=3)
    start = trio.current_time()
    with pytest.raises(ConnectTimeout, match="within 3 s"):
        await connect_transport(Address("silent.example"), context=None, timeouts=timeouts)
    assert trio.current_time() - start == pytest.approx(3)


async def test_a_name_that_cannot_be_one() -> None:
    with pytest.raises(UnknownHost, match="not a valid name"):
        await connect_transport(Address("\u00fc" * 80), context=None, timeouts=rig.TIMEOUTS)


def failed(*errors: OSError) -> OSError:
    """As `trio.open_tcp_stream` raises it after it has tried several addresses."""
    group = OSError("all attempts to connect failed")
    group.__cause__ = ExceptionGroup("attempts", list(errors)) if len(errors) > 1 else errors[0]
    return group


REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
NO_ROUTE = OSError(errno.EHOSTUNREACH, "No route to host")
NO_NETWORK = OSError(errno.ENETUNREACH, "Network is unreachable")
TIMED_OUT = TimeoutError(errno.ETIMEDOUT, "timed out")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (failed(REFUSED), ConnectionRefused),
        (failed(NO_ROUTE, REFUSED), ConnectionRefused),
        (failed(NO_ROUTE), Unreachable),
        (failed(NO_ROUTE, NO_NETWORK), Unreachable),
        (failed(TIMED_OUT, NO_NETWORK), ConnectTimeout),
        (OSError("odd"), Unreachable),
    ],
)
def test_of_several_failures_the_one_that_says_most_is_told(
    error: OSError, expected: type[TransportError]
) -> None:
    translated = translate_connect_error(error, "host:1")
    assert type(translated) is expected


def test_what_keeps_a_host_out_of_reach_is_named() -> None:
    text = str(translate_connect_error(failed(NO_ROUTE, NO_NETWORK), "host:1"))
    assert "Network is unreachable; No route to host" in text


async def test_a_cancelled_connect_leaves_nothing_open() -> None:
    async with rig.listening() as (address, _):
        with trio.CancelScope() as scope:
            scope.cancel()
            await connect_transport(address, context=None, timeouts=rig.TIMEOUTS)
        assert scope.cancelled_caught
