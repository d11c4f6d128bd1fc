"""Blobs: whole, checked, resumed, and never half a file under its name."""

from __future__ import annotations

import errno
import gc
import hashlib
import io
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

from protocol.interface import Blob
from protocol.peer import BlobDamaged, CallError, ConnectionLost
from protocol.peer.partial import PartialFile
from protocol.settings import LimitSettings, Settings
from protocol.wire.codec import pack
from protocol.wire.errors import Executed
from protocol.wire.events import ErrorReceived, WelcomeReceived
from tests.conftest import ErrorLog
from tests.protocol.peer.desk import content
from tests.protocol.peer.rig import TRANSPORT_IDS, TRANSPORTS, Rig, open_raw, open_rig

Clock = trio.testing.MockClock
MIB = 1 << 20
SIZES = [0, 1, 65_536, 65_537, MIB]


@pytest.mark.parametrize(("encrypted", "version"), TRANSPORTS, ids=TRANSPORT_IDS)
async def test_bytes_go_both_ways(encrypted: bool, version: object, autojump_clock: Clock) -> None:
    async with open_rig(encrypted=encrypted, tls_version=version) as rig:  # type: ignore[arg-type]
        for size in SIZES:
            assert await rig.desk.keep(Blob(content(size))) == size
            assert rig.counter.blobs[-1] == content(size)
            assert await rig.desk.give(size).read() == content(size)


@pytest.mark.parametrize("size", SIZES)
async def test_files_go_both_ways_with_progress(size: int, tmp_path: Path, patient_clock: Clock) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content(size))
    up: list[tuple[int, int | None]] = []
    down: list[tuple[int, int | None]] = []
    async with open_rig() as rig:
        await rig.desk.keep(Blob(source, progress=lambda *at: up.append(at)))
        with source.open("rb") as file:
            await rig.desk.keep(Blob(file))
        with io.BytesIO(content(size)) as file:
            await rig.desk.keep(Blob(file))
        await rig.desk.give(size).save(target, progress=lambda *at: down.append(at))
    assert rig.counter.blobs == [content(size)] * 3
    assert target.read_bytes() == content(size)
    assert names(tmp_path) == ["source", "target"]
    assert down[-1] == (size, size)
    assert [at for at, _ in down] == sorted(at for at, _ in down)
    if size:
        assert up[-1] == (size, size)
    assert [at for at, _ in up] == sorted(at for at, _ in up)


async def test_an_async_source_of_unknown_size_arrives(autojump_clock: Clock) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for size in (0, 3, 100_000, 1):
            yield content(size)

    async with open_rig() as rig:
        assert await rig.desk.keep(Blob(pieces())) == 100_004
        assert rig.counter.blobs == [content(3) + content(100_000) + content(1)]


async def test_size_and_name_are_known_once_the_blob_is_open(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        async with rig.desk.give(70_000) as blob:
            assert (blob.size, blob.name, blob.offset) == (70_000, "numbers.bin", 0)
            assert b"".join([piece async for piece in blob]) == content(70_000)
        await trio.testing.wait_all_tasks_blocked()
        assert rig.client.statistics().calls == 0


async def test_a_blob_over_the_readers_limit_is_not_read_to_its_end(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        with pytest.raises(BlobDamaged, match="more than 1000 bytes"):
            await rig.desk.give(10 * MIB).read(1000)
        assert len(await rig.desk.give(1000).read(1000)) == 1000
        await trio.testing.wait_all_tasks_blocked()
        assert rig.client.statistics().calls == 0


@pytest.mark.parametrize("inside", [True, False], ids=["async with", "bare loop"])
async def test_leaving_a_blob_early_ends_the_transfer(inside: bool, autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        if inside:
            async with rig.desk.give(10 * MIB) as blob:
                async for _ in blob:
                    break
        else:
            with pytest.warns(ResourceWarning, match="garbage collected"):  # trio's, for a bare loop
                await take_one(rig.desk.give(10 * MIB))
        await trio.testing.wait_all_tasks_blocked()
        assert rig.client.statistics().calls == 0


async def take_one(blob: Blob) -> None:
    """Leave a loop that nothing closes."""
    async for _ in blob:
        break
    del blob
    gc.collect()


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


async def test_a_missing_file_is_the_callers_error(patient_clock: Clock, tmp_path: Path) -> None:
    async with open_rig() as rig:
        with pytest.raises(FileNotFoundError):
            await rig.desk.keep(Blob(tmp_path / "none"))
        await trio.testing.wait_all_tasks_blocked()
        assert await rig.desk.echo(1) == 1
        assert rig.counter.blobs == []


@pytest.mark.parametrize("damage", ["hash", "size", "no trailer"])
async def test_a_damaged_upload_is_refused_by_name(damage: str, autojump_clock: Clock) -> None:
    async with open_rig() as rig, open_raw(rig.server) as raw:
        await raw.receive_of(WelcomeReceived)
        stream = raw.connection.open_call("keep", "Desk.keep", pack([{}]))
        raw.connection.send_head(stream, {"size": 5, "offset": 0})
        raw.connection.send_data(stream, b"12345", bulk=True)
        trailer: dict[str, object] = {"size": 5, "sha256": hashlib.sha256(b"12345").digest()}
        if damage == "hash":
            trailer["sha256"] = hashlib.sha256(b"54321").digest()
        elif damage == "size":
            trailer["size"] = 6
        else:
            trailer = {}
        raw.connection.send_end(stream, trailer, bulk=True)
        await raw.send()
        error = await raw.receive_of(ErrorReceived)
        assert isinstance(error, ErrorReceived)
        assert error.error.code == "rpc.blob_damaged"
        assert rig.counter.blobs == []


async def test_a_damaged_download_leaves_no_file(
    tmp_path: Path, patient_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_rig() as rig:
        monkeypatch.setattr("protocol.peer.blobs._Reader.digest", lambda self: b"x" * 32)
        with pytest.raises(BlobDamaged):
            await rig.desk.give(100_000).save(tmp_path / "file")
        with pytest.raises(BlobDamaged):
            await rig.desk.give(100_000).read()
        assert names(tmp_path) == []


async def cut_down(rig: Rig, target: Path, *, after: int, size: int) -> int:
    """Cut the connection while a blob is saved; returns what lies there then."""
    pipe = rig.network.link.to_client
    pipe.cut_after(pipe.statistics().sent + after)
    with pytest.raises(ConnectionLost) as caught:
        await rig.desk.give(size).save(target, resume=True)
    assert caught.value.executed is Executed.MAYBE
    assert target.name not in names(target.parent)
    return target.with_name(target.name + ".part").stat().st_size


async def test_a_cut_download_goes_on_where_it_broke(tmp_path: Path, patient_clock: Clock) -> None:
    target = tmp_path / "file"
    size = MIB
    moved = 0

    async with open_rig() as rig:
        first = await cut_down(rig, target, after=300_000, size=size)
        assert 100_000 < first <= 300_000
        await trio.sleep(5)
        second = await cut_down(rig, target, after=300_000, size=size)
        assert second > first + 100_000
        await trio.sleep(5)
        before = rig.network.link.to_client.statistics().sent
        await rig.desk.give(size).save(target, resume=True)
        moved = rig.network.link.to_client.statistics().sent - before
    assert target.read_bytes() == content(size)
    assert moved < size - second + 50_000
    assert names(tmp_path) == ["file"]


async def test_a_partial_file_of_something_else_is_found_out(tmp_path: Path, patient_clock: Clock) -> None:
    target = tmp_path / "file"
    (tmp_path / "file.part").write_bytes(b"x" * 1000)
    async with open_rig() as rig:
        with pytest.raises(BlobDamaged):
            await rig.desk.give(5000).save(target, resume=True)
        assert names(tmp_path) == []
        (tmp_path / "file.part").write_bytes(b"x" * 10_000)  # longer than the content
        await rig.desk.give(5000).save(target, resume=True)
        assert target.read_bytes() == content(5000)


async def test_an_upload_is_taken_up_again_where_it_broke(tmp_path: Path, patient_clock: Clock) -> None:
    target = tmp_path / "kept"

    async def save(blob: Blob) -> int:
        await blob.save(target, resume=True)
        return target.stat().st_size

    async with open_rig() as rig:
        handlers = rig.server.server.application.service._handlers
        handlers["Desk.keep"] = attrs.evolve(handlers["Desk.keep"], function=save)
        pipe = rig.network.link.to_server
        pipe.cut_after(pipe.statistics().sent + 400_000)
        with pytest.raises(ConnectionLost):
            await rig.desk.keep(Blob(content(MIB)))
        await trio.sleep(0.1)
        part = tmp_path / "kept.part"
        held = part.stat().st_size
        assert held > 200_000
        assert names(tmp_path) == ["kept.part"]
        assert await rig.desk.keep(Blob(content(MIB), offset=held)) == MIB
    assert target.read_bytes() == content(MIB)


async def test_the_callers_cancel_stops_a_transfer_either_way(autojump_clock: Clock) -> None:
    async def slow() -> AsyncIterator[bytes]:
        while True:
            yield content(1000)
            await trio.sleep(0.1)

    async with open_rig() as rig:
        with trio.move_on_after(3):
            await rig.desk.keep(Blob(slow()))
        rig.network.link.to_client.slow(10_000)
        with trio.move_on_after(3):
            await rig.desk.give(MIB).read()
        rig.network.link.to_client.slow(None)
        await trio.sleep(1)
        assert rig.client.statistics().calls == 0
        assert rig.counter.blobs == []


async def test_a_large_download_delays_no_call(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        rig.network.link.to_client.slow(12_500_000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.desk.give(8 * MIB).read)
            await trio.sleep(0.1)
            for _ in range(10):
                started = trio.current_time()
                assert await rig.desk.echo(1) == 1
                assert trio.current_time() - started < 0.05


async def test_a_handler_whose_blob_cannot_be_read_fails_the_call(
    patient_clock: Clock, tmp_path: Path, error_log: ErrorLog
) -> None:
    async with open_rig() as rig:
        handlers = rig.server.server.application.service._handlers
        handlers["Desk.give"] = attrs.evolve(
            handlers["Desk.give"], function=lambda size: Blob(tmp_path / "none")
        )
        with pytest.raises(CallError) as caught:
            await rig.desk.give(1).read()
        assert str(tmp_path) not in str(caught.value)
        assert error_log.take("handler failed")


def keep_with(rig: Rig, function: Callable[[Blob], Awaitable[int]]) -> None:
    """Have the server keep blobs in another way."""
    handlers = rig.server.server.application.service._handlers
    handlers["Desk.keep"] = attrs.evolve(handlers["Desk.keep"], function=function)


async def upload_raw(rig: Rig, head: dict[str, object], data: bytes, trailer: dict[str, object]) -> str:
    """Send a blob as no honest sender would; returns the code of the refusal."""
    async with open_raw(rig.server) as raw:
        await raw.receive_of(WelcomeReceived)
        stream = raw.connection.open_call("keep", "Desk.keep", pack([{}]))
        raw.connection.send_head(stream, head)
        raw.connection.send_data(stream, data, bulk=True)
        raw.connection.send_end(stream, trailer, bulk=True)
        await raw.send()
        error = await raw.receive_of(ErrorReceived)
        assert isinstance(error, ErrorReceived)
        return error.error.code


@pytest.mark.parametrize("how", ["read", "iterate", "save", "resume"])
@pytest.mark.parametrize("offset", [1, -1, 1 << 62, "0", True, None])
async def test_a_sender_does_not_choose_where_a_blob_begins(
    how: str, offset: object, tmp_path: Path, patient_clock: Clock
) -> None:
    kept: list[bytes] = []

    async def keep(blob: Blob) -> int:
        match how:
            case "read":
                kept.append(await blob.read())
            case "iterate":
                kept.append(b"".join([piece async for piece in blob]))
            case _:
                await blob.save(tmp_path / "kept", resume=how == "resume")
        return 0

    async with open_rig() as rig:
        keep_with(rig, keep)
        trailer = {"size": 6, "sha256": hashlib.sha256(b"x12345").digest()}
        code = await upload_raw(rig, {"size": 6, "offset": offset}, b"12345", trailer)
    assert code == "rpc.blob_damaged"
    assert kept == []
    assert names(tmp_path) == []


async def test_a_senders_own_offset_is_for_a_receiver_that_resumes(
    tmp_path: Path, patient_clock: Clock
) -> None:
    async def save(blob: Blob) -> int:
        await blob.save(tmp_path / "kept", resume=True)
        return 0

    async with open_rig() as rig:
        with pytest.raises(BlobDamaged, match="does not begin"):
            await rig.desk.keep(Blob(content(5000), offset=1000))
        assert rig.counter.blobs == []
        keep_with(rig, save)
        (tmp_path / "kept.part").write_bytes(content(999))
        with pytest.raises(BlobDamaged, match="999 bytes"):
            await rig.desk.keep(Blob(content(5000), offset=1000))
        assert (tmp_path / "kept.part").read_bytes() == content(999)
        await rig.desk.keep(Blob(content(5000), offset=500))  # from before the end is as good
    assert (tmp_path / "kept").read_bytes() == content(5000)


class Valve:
    """A source that sends some bytes and then waits until it is told how to end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.started = trio.Event()
        self.release = trio.Event()
        self.broken = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.data[: len(self.data) // 2]
        self.started.set()
        await self.release.wait()
        if self.broken:
            raise OSError("the memory stick was pulled out")
        yield self.data[len(self.data) // 2 :]


@pytest.mark.parametrize("first", [0, 1])
async def test_two_transfers_to_one_name_do_not_mix(first: int, tmp_path: Path, patient_clock: Clock) -> None:
    target = tmp_path / "kept"
    seen: list[bytes] = []

    async def save(blob: Blob) -> int:
        await blob.save(target)
        seen.append(target.read_bytes())
        return 0

    valves = [Valve(b"a" * 600_000), Valve(b"b" * 700_000)]
    async with open_rig() as rig:
        keep_with(rig, save)
        async with trio.open_nursery() as nursery:
            done = [trio.Event(), trio.Event()]

            async def send(index: int) -> None:
                await rig.desk.keep(Blob(valves[index]))
                done[index].set()

            for index, valve in enumerate(valves):
                nursery.start_soon(send, index)
                await valve.started.wait()
            for index in (first, 1 - first):
                valves[index].release.set()
                await done[index].wait()
    assert seen == [valves[first].data, valves[1 - first].data]
    assert names(tmp_path) == ["kept"]


async def test_a_second_transfer_that_resumes_is_told_of_the_first(
    tmp_path: Path, patient_clock: Clock
) -> None:
    target = tmp_path / "kept"
    refused: list[OSError] = []

    async def save(blob: Blob) -> int:
        try:
            await blob.save(target, resume=True)
        except OSError as exc:
            refused.append(exc)
            return 1
        return 0

    async with open_rig() as rig:
        keep_with(rig, save)
        valve = Valve(b"a" * 600_000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.desk.keep, Blob(valve))
            await valve.started.wait()
            assert await rig.desk.keep(Blob(b"b" * 1000)) == 1
            with pytest.raises(OSError, match="another transfer"):
                await rig.desk.give(5000).save(target, resume=True)
            assert not target.exists()
            await rig.desk.give(5000).save(target)  # one that starts anew is in nobody's way
            assert target.read_bytes() == content(5000)
            valve.release.set()
    assert target.read_bytes() == valve.data
    assert [exc.errno for exc in refused] == [errno.EBUSY]
    assert names(tmp_path) == ["kept"]


@pytest.mark.parametrize("held_by_another", [False, True])
async def test_a_broken_transfer_is_left_to_be_resumed(
    held_by_another: bool, tmp_path: Path, patient_clock: Clock
) -> None:
    target, part = tmp_path / "file", tmp_path / "file.part"
    part.write_bytes(b"older")
    async with open_rig() as rig:
        pipe = rig.network.link.to_client
        other = PartialFile(target, resume=True) if held_by_another else None
        pipe.cut_after(pipe.statistics().sent + 300_000)
        with pytest.raises(ConnectionLost):
            await rig.desk.give(MIB).save(target)
        assert names(tmp_path) == ["file.part"]
        if other is not None:
            assert part.read_bytes() == b"older"
            other.leave()
            return
        held = part.stat().st_size
        assert part.read_bytes() == content(MIB)[:held]
        assert held > 100_000
        await trio.sleep(5)
        seen: list[int] = []
        await rig.desk.give(MIB).save(target, resume=True, progress=lambda done, _: seen.append(done))
        assert seen[0] > held
    assert target.read_bytes() == content(MIB)
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("resume", [False, True])
async def test_a_cancelled_transfer_leaves_its_part(
    resume: bool, tmp_path: Path, patient_clock: Clock
) -> None:
    valve = Valve(b"a" * 600_000)

    async def save(blob: Blob) -> int:
        await blob.save(tmp_path / "kept", resume=resume)
        return 0

    async with open_rig() as rig:
        keep_with(rig, save)
        valve.broken = True
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                with pytest.raises(OSError, match="pulled out"):
                    await rig.desk.keep(Blob(valve))

            nursery.start_soon(send)
            await valve.started.wait()
            await trio.sleep(0.1)
            valve.release.set()
        with trio.fail_after(5):
            while names(tmp_path) != ["kept.part"]:  # noqa: ASYNC110 - the other side's state
                await trio.sleep(0.01)
    held = (tmp_path / "kept.part").read_bytes()
    assert held
    assert held == b"a" * len(held)


@pytest.mark.parametrize("resume", [False, True])
async def test_a_call_that_fails_leaves_no_file(
    resume: bool, tmp_path: Path, patient_clock: Clock, error_log: ErrorLog
) -> None:
    async with open_rig() as rig:

        def refuse(size: int) -> Blob:
            raise LookupError("none")

        handlers = rig.server.server.application.service._handlers
        handlers["Desk.give"] = attrs.evolve(handlers["Desk.give"], function=refuse)
        with pytest.raises(CallError):
            await rig.desk.give(1).save(tmp_path / "file", resume=resume)
        assert error_log.take("handler failed")
    assert names(tmp_path) == []


@pytest.mark.parametrize("resume", [False, True])
async def test_a_name_that_is_a_folder_is_an_error(
    resume: bool, tmp_path: Path, patient_clock: Clock
) -> None:
    (tmp_path / "folder").mkdir()
    async with open_rig() as rig:
        for size in (0, 1000):
            with pytest.raises(OSError, match="folder"):
                await rig.desk.give(size).save(tmp_path / "folder", resume=resume)
    assert "folder.part" in names(tmp_path)
    assert [name for name in names(tmp_path) if name not in ("folder", "folder.part")] == []


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("dangling", [False, True])
async def test_no_link_is_followed(
    dangling: bool, resume: bool, tmp_path: Path, patient_clock: Clock
) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "folder"
    folder.mkdir()
    if not dangling:
        victim.write_bytes(b"precious")
    (folder / "file.part").symlink_to(victim)
    (folder / "file").symlink_to(victim)
    async with open_rig() as rig:
        if resume:
            with pytest.raises(OSError, match=r"file\.part"):
                await rig.desk.give(5000).save(folder / "file", resume=True)
        else:
            pipe = rig.network.link.to_client
            pipe.cut_after(pipe.statistics().sent + 300_000)
            with pytest.raises(ConnectionLost):
                await rig.desk.give(MIB).save(folder / "file")
            await trio.sleep(5)
            await rig.desk.give(5000).save(folder / "file")
            assert not (folder / "file").is_symlink()
            assert (folder / "file").read_bytes() == content(5000)
    assert names(folder) == ["file", "file.part"]
    assert victim.exists() is not dangling
    if not dangling:
        assert victim.read_bytes() == b"precious"


@pytest.mark.skipif(sys.platform == "win32", reason="nobody takes an open file away there")
def test_a_part_that_was_replaced_is_not_taken_for_ones_own(tmp_path: Path) -> None:
    target, part = tmp_path / "file", tmp_path / "file.part"
    mine = PartialFile(target, resume=True)
    mine.append(b"mine")
    part.unlink()
    other = PartialFile(target, resume=True)
    other.append(b"other")
    with pytest.raises(OSError, match="replaced"):
        mine.keep()
    mine.discard()
    other.keep()
    assert target.read_bytes() == b"other"
    assert names(tmp_path) == ["file"]


def test_a_long_name_leaves_room_for_that_of_the_temporary(tmp_path: Path) -> None:
    target = tmp_path / ("\N{SNOWMAN}" * 83)  # 249 bytes, and 254 with .part
    for resume in (False, True):
        part = PartialFile(target, resume=resume)
        part.append(b"content")
        part.keep()
    assert names(tmp_path) == [target.name]


@pytest.mark.parametrize("how", ["leaves it", "keeps it"])
async def test_who_goes_on_with_a_file_waits_a_little_for_the_one_before_to_leave_it(
    how: str, tmp_path: Path, patient_clock: Clock
) -> None:
    """As a caller does who cancels an upload and takes it up again at once."""
    before = PartialFile(tmp_path / "file", resume=True)
    async with open_rig() as rig, trio.open_nursery() as nursery:

        async def leave() -> None:
            await trio.sleep(1)
            before.leave()

        if how == "leaves it":
            nursery.start_soon(leave)
            await rig.desk.give(5000).save(tmp_path / "file", resume=True)
            assert (tmp_path / "file").read_bytes() == content(5000)
        else:
            with pytest.raises(OSError, match="under way"):
                await rig.desk.give(5000).save(tmp_path / "file", resume=True)
            before.leave()


async def test_messages_smaller_than_a_frame_bound_no_blob(autojump_clock: Clock) -> None:
    async with open_rig(settings=Settings(limits=LimitSettings(message=32_768))) as rig:
        assert await rig.desk.keep(Blob(content(100_000))) == 100_000
        assert await rig.desk.give(100_000).read() == content(100_000)
