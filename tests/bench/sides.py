"""What the two processes of a lane have in common: how they begin, are told what to do, and are measured.

It runs in the peers' environment as well as in ours: it imports the standard library and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HOST = "localhost"
"""The name in the certificate. Every server listens on 127.0.0.1 alone."""
EVENT_TEXT = "x" * 100
REPLAY_TEXT = "x" * 1000
REPLAY_EVENTS = 1500
"""Events with this text that fill a replay buffer of 1 MiB, and half of it again."""
PIECE = 256 * 1024
"""Bytes that the bulk loops give to one write, where a peer's documentation says nothing else."""
GRACE = 5.0
"""Seconds that a client has to end by itself once its parent has closed standard input."""


@dataclass(frozen=True)
class Files:
    """Where the certificate lies that all servers show.

    Attributes:
        folder: with `Resources`, as `appserver` makes it at its first start: a key on P-256.
    """

    folder: Path

    @property
    def key(self) -> Path:
        """The server's private key."""
        return self.folder / "Resources" / "key.pem"

    @property
    def certificate(self) -> Path:
        """The server's certificate with its chain."""
        return self.folder / "Resources" / "cert.pem"

    @property
    def authority(self) -> Path:
        """What the clients trust."""
        return self.folder / "Resources" / "authority" / "ca.pem"

    def server_context(self) -> ssl.SSLContext:
        """TLS 1.3 for a peer's server; no tickets, as ours gives none."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.num_tickets = 0
        context.load_cert_chain(self.certificate, self.key)
        return context

    def client_context(self) -> ssl.SSLContext:
        """TLS 1.3 for a peer's client, which verifies the server as ours does."""
        context = ssl.create_default_context(cafile=str(self.authority))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context


@dataclass
class Life:
    """The beginning and the end of a server's process.

    Attributes:
        files: the certificate.
        words: options of the lane, as "plain".
        also: a process of another program that is to end with this one.
    """

    files: Files
    words: tuple[str, ...] = ()
    also: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def announce(self, port: int) -> None:
        """Say where the server listens, and which process is to be measured."""
        pid = self.also[0].pid if self.also else os.getpid()
        print(json.dumps({"port": port, "pid": pid}), flush=True)

    def end_with_parent(self) -> None:
        """Watch standard input in a thread: the parent ends this process by closing it, or by dying."""

        def watch() -> None:
            with contextlib.suppress(OSError):
                sys.stdin.buffer.read()
            for process in self.also:
                process.kill()
            os._exit(0)

        threading.Thread(target=watch, daemon=True).start()


@dataclass(frozen=True)
class Order:
    """What a client is to do now.

    Attributes:
        seconds: how long.
        calls: how many each caller makes at most.
    """

    seconds: float
    calls: int = 1 << 60

    @property
    def end(self) -> float:
        """When to stop, if it begins now."""
        return time.perf_counter() + self.seconds


Lines = queue.SimpleQueue[str | None]


def read_orders() -> Lines:
    """Read standard input in a thread; None is its end.

    A client ends with its parent, even if it hangs in a call or has never reached its server.
    """
    given: Lines = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            given.put(line)
        given.put(None)
        time.sleep(GRACE)
        os._exit(1)

    threading.Thread(target=read, daemon=True).start()
    return given


@dataclass(frozen=True)
class Load:
    """What a client's process is there for.

    Attributes:
        files: the certificate.
        port: the server's.
        server: its process.
        work: name of the call, or of what is no call.
        connections: how many.
        callers: on each of them, each of which awaits its own reply before it calls again.
        size: of a blob, bytes.
        given: lines of orders, as `read_orders` gives them.
        words: options of the lane.
    """

    files: Files
    port: int
    server: int
    given: Lines
    work: str
    connections: int = 1
    callers: int = 1
    size: int = 0
    words: tuple[str, ...] = ()

    def orders(self) -> Iterator[Order]:
        """The orders of the parent, until it closes standard input; blocks between them."""
        print(json.dumps({"ready": True}), flush=True)
        while (line := self.given.get()) is not None:
            yield Order(**json.loads(line))

    def meter(self) -> Meter:
        """What measures one order."""
        return Meter(self.server)


class Meter:
    """Time and processor time of both processes, and their memory, from `with` to its end."""

    def __init__(self, server: int) -> None:
        self._server = server
        self.seconds = 0.0

    def __enter__(self) -> Meter:
        self._memory = {pid: resident(pid) for pid in (os.getpid(), self._server)}
        for pid in self._memory:
            forget_peak(pid)
        self._cpu = (time.process_time(), processor_time(self._server))
        self._begin = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._begin
        self._cpu = (time.process_time() - self._cpu[0], processor_time(self._server) - self._cpu[1])

    def report(self, count: float, **figures: float) -> None:
        """Answer the order.

        Args:
            count: what was done, in the row's unit.
            figures: what was measured besides; `value` where the row's figure is not `count` a second.
        """
        client, server = (1e6 * cpu / max(count, 1) for cpu in self._cpu)
        made = {"value": count / self.seconds, "client_us": client, "server_us": server, **figures}
        print(json.dumps(made), flush=True)

    def server_share(self) -> float:
        """Per cent of one core that the server took."""
        return 100 * self._cpu[1] / self.seconds

    def growth(self) -> dict[str, float]:
        """By how many bytes each process was larger at most than in the beginning."""
        own, server = (peak(pid) - before for pid, before in self._memory.items())
        return {"client_growth": own, "server_growth": server}


def processor_time(pid: int) -> float:
    """Seconds that all threads of a process have run, to the nanosecond; 0.0 where the system has no such clock.

    Source: clock_getcpuclockid(3) of glibc, which makes the clock's number of the process in this way.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except (OSError, OverflowError, AttributeError):
        return 0.0


def resident(pid: int) -> int:
    """Bytes of a process that are in memory now (Linux)."""
    return _status(pid, "VmRSS:")


def peak(pid: int) -> int:
    """Most bytes of a process that were in memory since `forget_peak` (Linux)."""
    return _status(pid, "VmHWM:")


def forget_peak(pid: int) -> None:
    """Begin to look for the peak anew."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status(pid: int, field: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    return 0
