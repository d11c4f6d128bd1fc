"""Blobs: whole, checked, resumed, and never half a file under its name."""

from __future__ import annotations

import gc
import hashlib
import io
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

from protocol.interface import Blob
from protocol.peer import BlobDamaged, CallError, ConnectionLost
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
