"""The client's half of the load programs: each prints what it measured and returns whether it held."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from statistics import quantiles
from time import perf_counter

import attrs
import trio

from appclient import Client, connect
from protocol import Blob
from protocol.settings import ClientServerSettings, Settings
from protocol.transport import Address
from tests.system.load.app import Load
from tests.system.processes import ROOT, environment, resident
from tests.system.relay import open_relay

MIB = 1024 * 1024


@contextlib.contextmanager
def server_process(*, encrypt: bool = True) -> Iterator[tuple[Address, Path]]:
    """A server in a process of its own, with its address and folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.system.load.server", folder]
        process = subprocess.Popen(
            command if encrypt else [*command, "plain"],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Address.parse(process.stdout.readline().strip()), Path(folder)
        finally:
            process.stdin.close()
            process.stdout.close()
            process.wait(60)


@contextlib.asynccontextmanager
async def client_of(address: Address, folder: Path) -> AsyncIterator[Client]:
    """A client that trusts the server's own authority; in plain text where the address has no pin."""
    settings = attrs.evolve(Settings(), client_server=ClientServerSettings(encrypt=address.pin is not None))
    resources = folder / "client"
    resources.mkdir(exist_ok=True)
    authority = folder / "Resources" / "authority" / "ca.pem"
    if authority.exists():
        (resources / "ca.pem").write_bytes(authority.read_bytes())
    async with connect(address, resources=resources, settings=settings) as client:
        yield client


async def calls(sequential: int, concurrent: int, *, encrypt: bool) -> bool:
    """Sequential calls, then calls with 64 in flight: no error, and memory stays flat on both sides."""
    with server_process(encrypt=encrypt) as (address, folder):
        async with client_of(address, folder) as client:
            load = client.use(Load)
            held = True
            for title, count, callers in (("sequential", sequential, 1), ("64 in flight", concurrent, 64)):
                samples: list[tuple[int, int]] = []
                errors = 0
                seconds = 0.0
                for tenth in range(10):
                    begin = perf_counter()
                    errors += await _batch(load, count // 10, callers, tenth)
                    seconds += perf_counter() - begin
                    samples.append((resident(), await load.memory()))
                growth = [(samples[9][side] - samples[1][side]) / MIB for side in (0, 1)]
                ok = not errors and max(growth) <= 2
                held = held and ok
                print(
                    f"{title}: {count} calls, {errors} errors, {count / seconds:,.0f} calls/s, memory from the second "
                    f"to the last tenth: client {growth[0]:+.2f} MiB, server {growth[1]:+.2f} MiB (at most +2): "
                    f"{'ok' if ok else 'FAILED'}"
                )
    return held


async def _batch(load: Load, count: int, callers: int, seed: int) -> int:
    errors = 0

    async def caller(number: int) -> None:
        nonlocal errors
        for index in range(number, count, callers):
            if await load.add(index, seed) != index + seed:
                errors += 1

    async with trio.open_nursery() as nursery:
        for number in range(callers):
            nursery.start_soon(caller, number)
    return errors


def standard_library() -> list[Path]:
    """All files of the running Python's standard library."""
    root = Path(sysconfig.get_paths()["stdlib"])
    return [path for path in sorted(root.rglob("*")) if path.is_file() and "site-packages" not in path.parts]


async def blobs(files: Sequence[Path]) -> bool:
    """Files up and down again: every file the same, the server's memory bounded."""
    with server_process() as (address, folder):
        async with client_of(address, folder) as client:
            load = client.use(Load)
            before = await load.memory()
            most = before
            total = wrong = 0
            begin = perf_counter()
            for path in files:
                name = str(path)
                await load.put(name, Blob(path))
                fetched = await load.get(name).read(limit=1 << 30)
                total += len(fetched)
                wrong += hashlib.sha256(fetched).digest() != hashlib.sha256(path.read_bytes()).digest()
                most = max(most, await load.memory())
            seconds = perf_counter() - begin
    growth = (most - before) / MIB
    ok = not wrong and growth < 16
    print(
        f"{len(files)} files, {total / MIB:.0f} MiB each way in {seconds:.1f} s, {wrong} differ in SHA-256, "
        f"the server's memory grew by {growth:.1f} MiB at most (under 16): {'ok' if ok else 'FAILED'}"
    )
    return ok


async def latency(size: int, rate: float | None, *, most: float = 25) -> bool:
    """Calls every 20 ms on the connection of a large download.

    Args:
        size: of the download, bytes.
        rate: bytes a second of a relay between the two, or None for loopback alone.
        most: milliseconds of the 99th percentile on loopback, of the median over a relay.
    """
    with server_process() as (address, folder):
        async with contextlib.AsyncExitStack() as stack:
            via = address
            if rate is not None:
                relay = await stack.enter_async_context(open_relay(address.port, rate=rate))
                via = attrs.evolve(address, port=relay.port)
            client = await stack.enter_async_context(client_of(via, folder))
            received, seconds, times = await _download_beside_calls(client, size)
    p50, p99 = (quantiles(times, n=100)[49], quantiles(times, n=100)[98])
    figure, name = (p99, "p99") if rate is None else (p50, "p50")
    ok = received == size and figure < most
    print(
        f"{received / MIB:.0f} MiB at {received / seconds / 1e6:.1f} MB/s"
        f"{'' if rate is None else f' over a relay of {rate / 1e6:g} MB/s'}, {len(times)} calls beside it: "
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, most {max(times):.1f} ms ({name} under {most:g}): "
        f"{'ok' if ok else 'FAILED'}"
    )
    return ok


async def _download_beside_calls(client: Client, size: int) -> tuple[int, float, list[float]]:
    """The bytes received, the seconds that took, and the milliseconds of each call beside it."""
    load = client.use(Load)
    times: list[float] = []
    received = 0

    async def ticker() -> None:
        while True:
            begin = perf_counter()
            await load.add(1, 2)
            times.append((perf_counter() - begin) * 1000)
            await trio.sleep(0.02)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ticker)
        begin = perf_counter()
        async for piece in load.zeros(size):
            received += len(piece)
        seconds = perf_counter() - begin
        nursery.cancel_scope.cancel()
    return received, seconds, times
