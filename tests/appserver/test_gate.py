"""The gate: how many connections may be in their handshake, in all and from one source; over real sockets."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from appclient import connect
from appserver import Server, open_server
from appserver.gate import Gate
from protocol.settings import ClientServerSettings, LimitSettings, Settings, TimeoutSettings
from tests.protocol.peer.desk import Desk, new_desk


def test_the_gate_counts_all_and_each_source() -> None:
    gate = Gate(3, 2)
    assert [gate.enter("a"), gate.enter("a"), gate.enter("a")] == [True, True, False]
    assert [gate.enter("b"), gate.enter("b")] == [True, False]
    gate.leave("a")
    assert gate.enter("b") is True
    assert (gate.inside, gate.turned_away) == (3, 2)
    for source in ("a", "b", "b"):
        gate.leave(source)
    assert gate.inside == 0
    assert not gate._sources


async def wait_until_inside(server: Server, number: int) -> None:
    """Wait until so many connections are in their handshake."""
    while server.statistics().connecting != number:  # noqa: ASYNC110
        await trio.sleep(0.005)


@pytest.mark.parametrize("encrypt", [False, True], ids=["plain", "tls"])
async def test_silent_connections_are_bounded_and_let_go_and_clients_do_not_count(
    encrypt: bool, tmp_path: Path
) -> None:
    application, _ = new_desk()
    settings = Settings(
        client_server=ClientServerSettings(encrypt=encrypt, host="127.0.0.1", port=0),
        limits=LimitSettings(per_source=3),
        timeouts=TimeoutSettings(handshake=0.5, first_frame=0.5, drain=0),
    )
    resources = tmp_path / "Resources"
    with trio.fail_after(20):
        async with open_server(application, settings=settings, resources=resources) as server:
            client_settings = Settings(client_server=ClientServerSettings(encrypt=encrypt))
            address = server.connection_address()
            async with connect(address, settings=client_settings) as client:
                assert server.statistics().connecting == 0  # a client is not counted
                silent = [await trio.open_tcp_stream("127.0.0.1", server.port) for _ in range(3)]
                await wait_until_inside(server, 3)
                async with await trio.open_tcp_stream("127.0.0.1", server.port) as turned_away:
                    assert await turned_away.receive_some(1) == b""
                assert server.statistics().turned_away == 1
                assert await client.use(Desk).echo(1) == 1
                await wait_until_inside(server, 0)  # their time is over
                async with connect(address, settings=client_settings) as another:
                    assert await another.use(Desk).echo(2) == 2
                    assert server.statistics().sessions == 2
                for stream in silent:
                    await trio.aclose_forcefully(stream)
                assert server.statistics().accepted == 6
