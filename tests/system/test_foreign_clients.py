"""What is not a client of ours gets an explanation or the end at once, one log line, and disturbs nobody."""

from __future__ import annotations

import random
from pathlib import Path

import attrs
import pytest
import trio

from appclient import Client
from tests.system.application import Desk
from tests.system.processes import client_of, serving

HANDSHAKE = 1.6
GARBAGE = random.Random(19813).randbytes(600).lstrip(b"\x00\x16")


@attrs.frozen
class Foreign:
    """A client of something else.

    Attributes:
        name: of what it speaks.
        start: what it says.
        within: seconds in which it must be rid of us.
        pause: seconds after each octet; None says all at once.
        answer: part of the answer, where one is due.
    """

    name: str
    start: bytes
    within: float = 1.0
    pause: float | None = None
    answer: bytes = b""


HTTP = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
EVERYWHERE = (
    Foreign("HTTP", HTTP, answer=b"400 Bad Request"),
    Foreign("HTTP, octet by octet", HTTP, pause=0.005, answer=b"appserver"),
    Foreign("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", answer=b"400 Bad Request"),
    Foreign("SSH", b"SSH-2.0-OpenSSH_9.6\r\n"),
    Foreign("PostgreSQL asking for TLS", bytes.fromhex("0000000804d2162f")),
    Foreign(
        "PostgreSQL",
        b"\x00\x00\x00\x29\x00\x03\x00\x00user\x00ada\x00database\x00orders\x00\x00\x00\x00\x00\x00\x00",
    ),
    Foreign("Redis", b"*1\r\n$4\r\nPING\r\n"),
    Foreign("Redis inline", b"PING\r\n"),
    Foreign("one octet", b"?"),
    Foreign("garbage", GARBAGE),
    Foreign("garbage that starts as a frame", b"\x00" + GARBAGE),
    Foreign("garbage that starts as TLS", b"\x16" + GARBAGE),
    Foreign("a TLS record of garbage", b"\x16\x03\x01\x02\x00" + GARBAGE),
    Foreign("a frame of 4 GiB", b"\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00"),
    Foreign("silence", b"", within=HANDSHAKE + 1),
    Foreign("garbage, octet by octet", GARBAGE, within=HANDSHAKE + 1, pause=0.1),
)
BY_SETTING = {
    True: (
        Foreign("a plain client", b"\x00\x00\x00\x02\x30\x00\x00\x00\x00\x00\x91\x01", answer=b"client_server.encrypt"),
        Foreign("TLS, octet by octet", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + GARBAGE, HANDSHAKE + 1, 0.1),
    ),
    False: (
        Foreign("a TLS client", b"\x16\x03\x01\x02\x00\x01", answer=bytes([0x15, 3, 3, 0, 2, 2, 71])),
        Foreign("a frame, octet by octet", b"\x00\x00\x10\x00\x01\x00\x00\x00\x00\x00" + GARBAGE, HANDSHAKE + 1, 0.1),
        Foreign("a CALL before HELLO", b"\x00\x00\x00\x02\x10\x00\x00\x00\x00\x01\x91\x01"),
        Foreign("a HELLO too large", b"\x00\x00\xff\xff\x01\x00\x00\x00\x00\x00" + GARBAGE),
    ),
}  # fmt: skip


@pytest.mark.parametrize("encrypt", [True, False])
async def test_foreign_clients_are_told_or_closed_and_disturb_nobody(tmp_path: Path, encrypt: bool) -> None:
    cases = EVERYWHERE + BY_SETTING[encrypt]
    slow = [foreign for foreign in cases if foreign.within > HANDSHAKE]
    quick = [foreign for foreign in cases if foreign not in slow]
    assert len(slow) >= 3
    with trio.fail_after(40):
        async with (
            serving(
                tmp_path, encrypt=encrypt, timeouts_handshake=HANDSHAKE, timeouts_first_frame=HANDSHAKE
            ) as server,
            client_of(server) as client,
        ):
            before = len(await server.wait_log(lambda line: line["event"] == "client connected"))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_go_on_calling, client)
                for number, foreign in enumerate(quick, start=1):
                    await _talk(server.port, foreign)
                    log = await server.wait_log(lambda line: True, before + number)
                    assert len(log) == before + number, (foreign.name, log[before:])
                    assert log[-1]["level"] in ("info", "warning"), (foreign.name, log[-1])
                async with trio.open_nursery() as together:  # each takes the time that a handshake may
                    for foreign in slow:
                        together.start_soon(_talk, server.port, foreign)
                log = await server.wait_log(lambda line: True, before + len(cases))
                assert {line["level"] for line in log[before + len(quick) :]} <= {"info", "warning"}, log
                nursery.cancel_scope.cancel()
            assert client.statistics().connections == 1
            assert len(server.log()) == before + len(cases)
            assert server.process.poll() is None


async def _go_on_calling(client: Client) -> None:
    desk = client.use(Desk)
    while True:
        with trio.fail_after(0.5):
            assert await desk.echo("untouched") == "untouched"
        await trio.sleep(0.02)


async def _talk(port: int, foreign: Foreign) -> None:
    """Say it and read until the end, which must come in time."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    answer = b""
    began = trio.current_time()
    async with stream, trio.open_nursery() as nursery:
        nursery.start_soon(_say, stream, foreign)
        try:
            with trio.fail_after(foreign.within):
                async for piece in stream:
                    answer += piece
        except trio.BrokenResourceError:  # a reset is an end, too
            pass
        except trio.TooSlowError:
            raise AssertionError(f"{foreign.name}: still open after {foreign.within} s") from None
        nursery.cancel_scope.cancel()
    assert foreign.answer in answer, (foreign.name, answer)
    if not foreign.start:
        assert trio.current_time() - began >= HANDSHAKE * 0.9


async def _say(stream: trio.SocketStream, foreign: Foreign) -> None:
    try:
        if foreign.pause is None:
            await stream.send_all(foreign.start)
        else:
            for octet in foreign.start:
                await stream.send_all(bytes([octet]))
                await trio.sleep(foreign.pause)
    except trio.BrokenResourceError:
        pass
