"""Replayed greetings that ask for the most expensive key exchange cost the server next to nothing."""

from __future__ import annotations

import contextlib
import os
import ssl
import sys
import time
from pathlib import Path

import pytest
import trio
import trustme

from appclient import Client
from protocol.certs.groups import offered_groups
from tests.system.application import Desk
from tests.system.processes import client_of, serving

HELLOS = 40
MOST_CPU = 0.5
AT_ONCE = 20
"""Below the limit for one source, which would turn the others away without a look at them."""
PAUSE = 0.02

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a process's time is read from /proc")


def expensive_hello() -> bytes:
    """A greeting of TLS 1.3 that has ffdhe8192 alone, with its share of the key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["appserver/1"])
    try:
        context.set_ecdh_curve("ffdhe8192")
    except (ssl.SSLError, ValueError):
        pytest.skip("this OpenSSL has no finite-field groups for TLS 1.3")
    sent = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost").do_handshake()
    hello = sent.read()
    assert offered_groups(hello) == ("ffdhe8192",)
    assert len(hello) > 1024
    return hello


def cost_without_our_policy(hello: bytes) -> float:
    """Seconds of processor time that one greeting costs a server as Python makes it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA(key_type=trustme.KeyType.ECDSA).issue_cert("localhost").configure_cert(context)
    context.set_alpn_protocols(["appserver/1"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(hello)
    begin = time.process_time()
    with contextlib.suppress(ssl.SSLWantReadError):
        server.do_handshake()
    assert outgoing.read(1) == b"\x16"
    return time.process_time() - begin


def cpu_of(pid: int) -> float:
    """Seconds of processor time that a process has used (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def replay(port: int, hello: bytes) -> bytes:
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(hello)
        answer = b""
        with contextlib.suppress(trio.BrokenResourceError):
            while part := await stream.receive_some(4096):
                answer += part
    return answer


async def slowest_echo(client: Client, done: trio.Event) -> float:
    """Call until it is over; returns the longest that a call took."""
    desk = client.use(Desk)
    slowest = 0.0
    while not done.is_set():
        begin = trio.current_time()
        assert await desk.echo("seven") == "seven"
        slowest = max(slowest, trio.current_time() - begin)
        await trio.sleep(PAUSE)
    return slowest


async def test_greetings_for_the_largest_finite_field_group_do_not_hold_the_server(tmp_path: Path) -> None:
    hello = expensive_hello()
    control = cost_without_our_policy(hello)
    assert control * HELLOS > 2 * MOST_CPU, "the greeting is not as expensive as it should be"
    answers: list[bytes] = []
    slowest: list[float] = []
    limit = trio.CapacityLimiter(AT_ONCE)
    with trio.fail_after(50):
        async with serving(tmp_path) as server, client_of(server) as first, client_of(server) as second:
            done = trio.Event()

            async def attack() -> None:
                async with limit:
                    answers.append(await replay(server.port, hello))

            async def echo(client: Client) -> None:
                slowest.append(await slowest_echo(client, done))

            async with trio.open_nursery() as good:
                good.start_soon(echo, first)
                good.start_soon(echo, second)
                await trio.sleep(5 * PAUSE)
                before = cpu_of(server.process.pid)
                async with trio.open_nursery() as bad:
                    for _ in range(HELLOS):
                        bad.start_soon(attack)
                used = cpu_of(server.process.pid) - before
                done.set()
    print(
        f"{used:.2f} s for {HELLOS} greetings, of {control:.3f} s each without; slowest call {max(slowest):.3f} s"
    )
    assert used <= MOST_CPU
    assert len(answers) == HELLOS
    assert {answer[:1] for answer in answers} == {b"\x15"}, "each is refused by an alert"
    assert max(slowest) < 1.0, "held up as long as a few of the handshakes would take"
