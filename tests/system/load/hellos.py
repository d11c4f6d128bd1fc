"""Replayed greetings that ask for the most expensive key exchange, beside clients that work.

As a program, `python -m tests.system.load.hellos PORT`, it is the attacker: for each line of standard input it sends
all of them once, and says how each was answered.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import quantiles
from typing import IO

import attrs
import trio
import trustme

from protocol.certs.groups import offered_groups
from tests.system.application import Desk
from tests.system.processes import ROOT, ServerProcess, client_of, environment, serving

HELLOS = 40
MOST_CPU = 0.5
"""Seconds of the server for all of them."""

MOST_RATIO = 3.0
"""Of the good clients' 99th percentile, to that without the greetings."""

GOOD = 20
PAUSE = 0.02
AT_ONCE = 20
"""Below the limit for one source, which would turn the others away without a look at them."""

GROUP = "ffdhe8192"
_ALERT = "15"
_QUIET = 0.3
"""Seconds without greetings before each round of them."""


class NoFiniteField(Exception):
    """This OpenSSL has no finite-field groups for TLS 1.3: nobody can ask with it."""


def expensive_hello() -> bytes:
    """A greeting of TLS 1.3 that has ffdhe8192 alone, with its share of the key.

    Raises:
        NoFiniteField: it cannot be made here.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["appserver/1"])
    try:
        context.set_ecdh_curve(GROUP)
    except (ssl.SSLError, ValueError):
        raise NoFiniteField from None
    sent = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost").do_handshake()
    hello = sent.read()
    assert offered_groups(hello) == (GROUP,)
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
    """Seconds of processor time that a process has used (Linux; proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def replay_all(port: int, hello: bytes, count: int = HELLOS) -> list[bytes]:
    """Send a greeting so many times, some at once; returns what each was answered.

    With plain sockets: an attacker elsewhere would take none of this machine's time.
    """
    answers: list[bytes] = []
    while len(answers) < count:
        with contextlib.ExitStack() as stack:
            batch = range(min(AT_ONCE, count - len(answers)))
            socks = []
            for _ in batch:
                socks.append(stack.enter_context(socket.create_connection(("127.0.0.1", port), 30)))
                socks[-1].sendall(hello)
            answers += [_answer(sock) for sock in socks]
    return answers


def _answer(sock: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionError):
        while part := sock.recv(4096):
            answer += part
    return answer


@attrs.define
class Measured:
    """What was seen.

    Attributes:
        quiet: milliseconds of each good call without greetings, and
        attacked: beside them.
        cpu: seconds of the server, good calls included, for each round of greetings.
        answers: how many greetings were refused by an alert, of
        sent: so many.
    """

    quiet: list[float] = attrs.field(factory=list)
    attacked: list[float] = attrs.field(factory=list)
    cpu: list[float] = attrs.field(factory=list)
    answers: int = 0
    sent: int = 0

    @property
    def ratio(self) -> float:
        """The one 99th percentile to the other."""
        return p99(self.attacked) / p99(self.quiet)

    @property
    def held(self) -> bool:
        """Whether nobody noticed anything."""
        return self.answers == self.sent > 0 and max(self.cpu) <= MOST_CPU and self.ratio < MOST_RATIO


def p99(times: list[float]) -> float:
    """The 99th percentile."""
    return quantiles(times, n=100)[98]


async def hellos(rounds: int) -> bool:
    """Send all greetings so many times, with quiet between; print what the good clients and the server felt."""
    try:
        control = cost_without_our_policy(expensive_hello())
    except NoFiniteField:
        print("this OpenSSL cannot ask for finite-field groups: not measured")
        return False
    with tempfile.TemporaryDirectory() as folder:
        measured = await measure(Path(folder), rounds)
    print(
        f"{rounds} x {HELLOS} greetings for {GROUP}, {measured.answers} of {measured.sent} refused by an alert: "
        f"{max(measured.cpu):.2f} s of the server for {HELLOS} at most (under {MOST_CPU:g}; without our groups "
        f"{control * HELLOS:.1f} s); p99 of {GOOD} good clients {p99(measured.attacked):.1f} ms in "
        f"{len(measured.attacked)} calls beside them, {p99(measured.quiet):.1f} ms in {len(measured.quiet)} without: "
        f"ratio {measured.ratio:.2f} (under {MOST_RATIO:g}): {'ok' if measured.held else 'FAILED'}"
    )
    return measured.held


async def measure(folder: Path, rounds: int) -> Measured:
    """As `hellos`, in a folder of the caller's; returns what was seen."""
    measured = Measured()
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving(folder))
        attacker = await stack.enter_async_context(_attacker(server.port))
        clients = [await stack.enter_async_context(client_of(server)) for _ in range(GOOD)]
        nursery = await stack.enter_async_context(trio.open_nursery())
        current = [measured.quiet]
        for client in clients:
            nursery.start_soon(_work, client.use(Desk), current)
        await trio.sleep(_QUIET)
        measured.quiet.clear()  # the first calls of each
        for _ in range(rounds):
            await trio.sleep(_QUIET)
            current[0] = measured.attacked
            await _one_round(server, attacker, measured)
            current[0] = measured.quiet
        nursery.cancel_scope.cancel()
    return measured


async def _work(desk: Desk, times: list[list[float]]) -> None:
    """Call all the time; a call counts for what was going on when it began."""
    while True:
        kind, begin = times[0], trio.current_time()
        assert await desk.echo("seven") == "seven"
        kind.append((trio.current_time() - begin) * 1000)
        await trio.sleep(PAUSE)


async def _one_round(server: ServerProcess, attacker: subprocess.Popen[str], measured: Measured) -> None:
    before = cpu_of(server.process.pid)
    answers = await trio.to_thread.run_sync(_order, attacker)
    measured.cpu.append(cpu_of(server.process.pid) - before)
    measured.sent += len(answers)
    measured.answers += answers.count(_ALERT)


def _order(attacker: subprocess.Popen[str]) -> list[str]:
    assert attacker.stdin is not None
    assert attacker.stdout is not None
    attacker.stdin.write("go\n")
    attacker.stdin.flush()
    answers: list[str] = json.loads(attacker.stdout.readline())
    return answers


@contextlib.asynccontextmanager
async def _attacker(port: int) -> AsyncIterator[subprocess.Popen[str]]:
    process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
        [sys.executable, "-m", "tests.system.load.hellos", str(port)],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def main(port: int, orders: IO[str]) -> None:
    """Attack once for each order; prints the first octet of each answer, in hexadecimal."""
    hello = expensive_hello()
    for _ in orders:
        answers = replay_all(port, hello)
        print(json.dumps([answer[:1].hex() for answer in answers]), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.stdin)
