"""The first frames: who is welcome, who is refused with which code, and who is not a client at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pytest
import trio
import trio.testing

from appclient import HandshakeIncomplete, Refused
from appserver import Application, NotAuthenticated, current_call
from appserver.testing import Cut, LoopbackServer, Network, loopback, loopback_server
from protocol.peer import HandshakeEnded
from protocol.settings import ClientServerSettings, Settings, TimeoutSettings
from protocol.transport import TransportError
from protocol.wire import codes
from protocol.wire.events import RefuseReceived
from tests.conftest import ErrorLog
from tests.protocol.peer.desk import Counter, Desk, new_desk
from tests.protocol.peer.rig import TRANSPORT_IDS, TRANSPORTS, open_raw

Clock = trio.testing.MockClock


async def authenticate(credentials: Mapping[str, object], address: str) -> str:
    """Know one user; be slow or broken on demand."""
    match credentials.get("user"):
        case "ada":
            return "ada"
        case "slow":
            await trio.sleep_forever()
        case "broken":
            raise ValueError("the directory is down")
    raise NotAuthenticated()


def closed_desk() -> tuple[Application, Counter]:
    """An application with sign-in."""
    application = Application("closed", authenticate=authenticate)
    counter = Counter()
    application.register(counter)
    return application, counter


async def test_a_principal_is_known_to_handlers(autojump_clock: Clock) -> None:
    application, counter = closed_desk()
    seen: list[str] = []

    async def look() -> int:
        seen.append(current_call().session.principal)
        return 0

    counter.plans["look"] = look
    with trio.fail_after(10):
        async with loopback(application, credentials={"user": "ada"}) as client:
            await client.use(Desk).run("look")
    assert seen == ["ada"]


async def test_a_refused_client_gets_code_text_and_reference(autojump_clock: Clock) -> None:
    application, _ = closed_desk()
    with trio.fail_after(10), pytest.raises(Refused) as caught:
        async with loopback(application, credentials={"user": "eve"}):
            pass
    assert caught.value.code == codes.NOT_AUTHENTICATED
    assert caught.value.reference
    assert caught.value.reference in str(caught.value)
    assert caught.value.retry_after is None


async def test_a_sign_in_that_takes_too_long_ends(autojump_clock: Clock) -> None:
    application, _ = closed_desk()
    with trio.fail_after(15), pytest.raises((HandshakeIncomplete, TransportError)):
        async with loopback(application, credentials={"user": "slow"}):
            pass


async def test_a_sign_in_that_fails_is_the_servers_error_and_says_nothing(
    autojump_clock: Clock, error_log: ErrorLog
) -> None:
    application, _ = closed_desk()
    with trio.fail_after(15), pytest.raises(Refused) as caught:
        async with loopback(application, credentials={"user": "broken"}):
            pass
    assert "directory" not in str(caught.value)
    assert caught.value.code == codes.INTERNAL
    assert caught.value.reference
    assert caught.value.retry_after is not None
    assert error_log.take("authenticate failed")


async def test_nothing_but_the_handshake_is_taken_before_the_welcome(autojump_clock: Clock) -> None:
    application, counter = closed_desk()
    with trio.fail_after(30):
        async with loopback_server(application, encrypted=False) as server:
            async with open_raw(server, credentials={"user": "slow"}) as raw:
                raw.transport.send_nowait(b"\x00\x00\x00\x01\x10\x00\x00\x00\x00\x01\xc0")
                await trio.sleep(1)
            assert counter.ran == []


async def test_another_protocol_version_is_refused_by_name(autojump_clock: Clock) -> None:
    application, _ = new_desk()
    with trio.fail_after(10):
        async with (
            loopback_server(application, encrypted=False) as server,
            open_raw(server, versions=[7]) as raw,
        ):
            refused = await raw.receive_of(RefuseReceived)
            assert isinstance(refused, RefuseReceived)
            assert refused.refuse.code == codes.UNSUPPORTED_VERSION
            assert "7" in refused.refuse.text


async def test_a_client_that_says_nothing_is_let_go(autojump_clock: Clock) -> None:
    application, _ = new_desk()
    with trio.fail_after(30):
        async with (
            loopback_server(application, encrypted=False) as server,
            open_raw(server, hello=False) as raw,
        ):
            started = trio.current_time()
            with pytest.raises((TransportError, HandshakeEnded)):
                await raw.receive_of(RefuseReceived)
            assert trio.current_time() - started == pytest.approx(10, abs=1)


@pytest.mark.parametrize("how", list(Cut))
@pytest.mark.parametrize(("encrypted", "version"), TRANSPORTS, ids=TRANSPORT_IDS)
async def test_a_handshake_cut_anywhere_is_one_error_on_the_client_and_none_on_the_server(
    encrypted: bool, version: object, how: Cut, autojump_clock: Clock
) -> None:
    application, _ = new_desk()
    network = Network()
    settings = Settings(timeouts=TimeoutSettings(close=0.2))
    with trio.fail_after(2000):
        async with loopback_server(
            application,
            encrypted=encrypted,
            tls_version=version,  # type: ignore[arg-type]
            network=network,
            settings=settings,
        ) as server:
            async with server.connect():
                sizes = (network.link.to_server.statistics().sent, network.link.to_client.statistics().sent)
            for direction, size in zip(("to_server", "to_client"), sizes, strict=True):
                for at in range(1, size - 40, max(1, size // 40)):  # a signature's length varies
                    network.on_connect = lambda link, d=direction, a=at: getattr(link, d).cut_after(a, how)
                    started = trio.current_time()
                    with pytest.raises((TransportError, HandshakeIncomplete)) as caught:
                        async with server.connect():
                            pass
                    assert trio.current_time() - started < 2
                    assert "localhost" in str(caught.value) or "memory" in str(caught.value)
            network.on_connect = None
            await trio.sleep(5)
            async with server.connect() as client:
                assert await client.use(Desk).echo(1) == 1
            await trio.sleep(5)
            assert len(server.server.sessions) == 0


async def test_garbage_is_one_warning_and_harms_nobody(autojump_clock: Clock) -> None:
    application, _ = new_desk()
    with trio.fail_after(30):
        async with loopback_server(application, encrypted=False) as server, server.connect() as client:
            for garbage in (
                b"\x00" * 100,
                b"\x00\x00\x00\x05\x01\x00\x00\x00\x00\x00hello",
                b"\x00\xff" * 500,
            ):
                async with open_raw(server, hello=False) as raw:
                    raw.transport.send_nowait(garbage)
                    await trio.sleep(5)
            assert await client.use(Desk).echo(1) == 1


@pytest.mark.parametrize(("encrypted", "version"), TRANSPORTS, ids=TRANSPORT_IDS)
async def test_a_full_server_refuses_with_a_time_and_takes_the_next_when_one_has_left(
    encrypted: bool, version: Literal["1.2", "1.3"] | None, autojump_clock: Clock
) -> None:
    application, _ = new_desk()
    settings = Settings(client_server=ClientServerSettings(sessions=2))
    with trio.fail_after(100):
        async with loopback_server(
            application, encrypted=encrypted, tls_version=version, settings=settings
        ) as server:
            async with server.connect(), server.connect() as second:
                with pytest.raises(Refused, match=r"2 clients already \(client_server.sessions\)") as caught:
                    async with server.connect():
                        pass
                assert (caught.value.code, caught.value.retry_after) == (codes.SERVER_FULL, 30.0)
                assert await second.use(Desk).echo(1) == 1
            async with server.connect() as another:
                assert await another.use(Desk).echo(1) == 1


async def test_of_many_that_sign_in_at_once_a_server_takes_as_many_as_it_has_places_for(
    autojump_clock: Clock,
) -> None:
    application, _ = new_desk()
    outcomes: list[str] = []

    async def authenticate(credentials: Mapping[str, object], address: str) -> str:
        await trio.sleep(1)
        return "ada"

    async def connect(server: LoopbackServer) -> None:
        try:
            async with server.connect() as client:
                await client.use(Desk).echo(1)
                await trio.sleep(5)
                outcomes.append("served")
        except Refused as exc:
            outcomes.append(exc.code)

    application.authenticate = authenticate
    settings = Settings(client_server=ClientServerSettings(sessions=2))
    with trio.fail_after(100):
        async with loopback_server(application, settings=settings) as server:
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(connect, server)
            assert sorted(outcomes) == [codes.SERVER_FULL] * 3 + ["served"] * 2
            assert server.server.sessions.places_taken == 0


async def test_a_client_that_is_gone_before_its_welcome_leaves_its_place(autojump_clock: Clock) -> None:
    application, _ = new_desk()

    async def authenticate(credentials: Mapping[str, object], address: str) -> str:
        await trio.sleep(1)
        return "ada"

    application.authenticate = authenticate
    settings = Settings(client_server=ClientServerSettings(sessions=1))
    with trio.fail_after(100):
        async with loopback_server(application, settings=settings) as server:
            async with open_raw(server):
                server.network.link.to_client.hold()
                await trio.sleep(0.5)
                server.network.link.cut()
            await trio.sleep(5)
            async with server.connect() as client:
                assert await client.use(Desk).echo(1) == 1
