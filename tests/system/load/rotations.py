"""Certificates that change all the time under clients that come and stay."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter
from typing import TypeAlias

import attrs
import trio

from appclient import CONNECT_ERRORS, Client, ConnectionState, StateChange, connect
from appserver import Outcome, Server, open_server
from protocol.peer import CallError
from protocol.settings import LimitSettings, Settings, TlsSettings
from protocol.transport import Address
from tests.appserver.pairs import Issuer, Pair, new_folders, put
from tests.system.load.app import Load, make_app

CONNECTING, STAYING = 4, 10
BAD = 10
"""One of so many sets is a bad one."""


@attrs.define
class Tally:
    """What happened.

    Attributes:
        good: fingerprints that may be shown.
        connected: connections that were made and used.
        failed: connections that were not, with the reason.
        broken: staying clients whose connection did not last, with the reason.
        wrong: connections that were shown a key that never was whole.
        changed: sets that were taken over.
        refused: bad sets that were refused, with the last good one kept.
        missed: sets of which the outcome was another one.
    """

    good: set[str] = attrs.field(factory=set)
    connected: int = 0
    failed: list[str] = attrs.field(factory=list)
    broken: list[str] = attrs.field(factory=list)
    wrong: int = 0
    changed: int = 0
    refused: int = 0
    missed: list[str] = attrs.field(factory=list)

    @property
    def held(self) -> bool:
        """Whether nobody noticed anything."""
        return not (self.failed or self.broken or self.wrong or self.missed) and self.connected > 0


async def rotations(count: int, seconds: float) -> bool:
    """Change key and certificate so often in so many seconds, a tenth of them half-written; print what happened.

    Args:
        count: sets, each written and then reloaded as by SIGHUP.
        seconds: in which they are to be written, or longer where the machine is slower.
    """
    with tempfile.TemporaryDirectory() as folder:
        begin = perf_counter()
        tally = await rotate(Path(folder), count, seconds)
        took = perf_counter() - begin
    bad = count // BAD
    ok = tally.held and tally.refused == bad
    print(
        f"{count} rotations in {took:.1f} s: {tally.changed} taken over, {tally.refused} of {bad} bad sets refused, "
        f"{tally.connected} connects with {len(tally.failed)} failed, {STAYING} staying clients with "
        f"{len(tally.broken)} broken, {tally.wrong} wrong keys: {'ok' if ok else 'FAILED'}"
    )
    for line in (*tally.failed[:3], *tally.broken[:3], *tally.missed[:3]):
        print(f"  {line}")
    return ok


async def rotate(folder: Path, count: int, seconds: float) -> Tally:
    """As `rotations`, in a folder of the caller's; returns what happened."""
    issuer = Issuer()
    resources, client = new_folders(folder, issuer)
    first = issuer.pair()
    first.put(resources)
    tally = Tally({first.fingerprint})
    settings = Settings(
        client_server=attrs.evolve(Settings().client_server, port=0),
        tls=TlsSettings(auto_certificate=False),
        limits=LimitSettings(per_source=1000),
    )
    async with (
        open_server(make_app(folder), settings=settings, resources=resources) as server,
        trio.open_nursery() as nursery,
    ):
        address = Address("localhost", server.port)
        for _ in range(STAYING):
            await nursery.start(stay, address, client, tally, add)
        for _ in range(CONNECTING):
            nursery.start_soon(come_and_go, address, client, tally, add)
        started = trio.current_time()
        for number in range(1, count + 1):
            await _change(server, resources, issuer.pair(), tally, bad=number % BAD == 0, number=number)
            await trio.sleep_until(started + seconds * number / count)
        nursery.cancel_scope.cancel()
    return tally


async def _change(
    server: Server, resources: Path, pair: Pair, tally: Tally, *, bad: bool, number: int
) -> None:
    before = server.identity
    if not bad:
        tally.good.add(pair.fingerprint)
        pair.put(resources)
    elif number % (2 * BAD):
        put(resources, "key.pem", pair.key)  # and its certificate is still on the way
    else:
        (resources / "cert.pem").write_bytes(pair.cert[: len(pair.cert) // 2])
    report = await server.reload()
    assert report is not None
    if not bad and report.outcome is Outcome.CHANGED:
        tally.changed += 1
    elif bad and report.outcome is Outcome.REFUSED and server.identity == before:
        tally.refused += 1
    else:
        tally.missed.append(f"set {number}: {report.outcome.value}, {report.finding}")


Call: TypeAlias = Callable[[Client], Awaitable[None]]


async def add(client: Client) -> None:
    """One call."""
    assert await client.use(Load).add(1, 2) == 3


async def come_and_go(address: Address, resources: Path, tally: Tally, call: Call) -> None:
    """Connect, call once and leave, again and again."""
    while True:
        try:
            async with connect(address, resources=resources, settings=Settings()) as client:
                await call(client)
                shown = client.security.fingerprint if client.security is not None else None
        except (*CONNECT_ERRORS, CallError) as exc:
            tally.failed.append(str(exc))
        else:
            tally.connected += 1
            tally.wrong += shown not in tally.good


async def stay(
    address: Address,
    resources: Path,
    tally: Tally,
    call: Call,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Call on one connection all the time."""
    async with connect(address, resources=resources, settings=Settings()) as client:

        def note(change: StateChange) -> None:
            if change.state is not ConnectionState.CLOSED:
                tally.broken.append(f"{change.state.value}: {change.reason}")

        client.on_state(note)
        task_status.started()
        try:
            while True:
                await call(client)
                await trio.sleep(0.02)
        except CallError as exc:
            tally.broken.append(str(exc))
        finally:
            if client.statistics().connections != 1:
                tally.broken.append("connected again")
