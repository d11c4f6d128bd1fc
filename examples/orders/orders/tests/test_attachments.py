"""Files at orders: up, down, broken off and begun again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import trio

from orders.contract import NewLine, NewOrder, NotFound, OrderDesk
from protocol import Blob


@pytest.fixture
async def number(desk: OrderDesk) -> int:
    return await desk.add(NewOrder(1, (NewLine("TAPE-50", 1),)))


@pytest.fixture
def attachments(tmp_path: Path) -> Path:
    return tmp_path / "attachments"


def names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


async def test_a_file_comes_back_as_it_was_sent(desk: OrderDesk, number: int, tmp_path: Path) -> None:
    content = os.urandom(1_000_003)
    source = tmp_path / "drawing.pdf"
    source.write_bytes(content)
    seen: list[int] = []
    attachment = await desk.attach(
        number, Blob(source, name="drawing.pdf", progress=lambda done, _: seen.append(done))
    )
    assert attachment.sha256 == hashlib.sha256(content).hexdigest()
    assert (attachment.name, attachment.size) == ("drawing.pdf", len(content))
    assert (await desk.find(number)).attachments == (attachment,)
    assert seen[-1] == len(content)
    target = tmp_path / "copy.pdf"
    await desk.fetch(attachment.id).save(target)
    assert target.read_bytes() == content


async def test_an_empty_file_is_a_file(desk: OrderDesk, number: int) -> None:
    attachment = await desk.attach(number, Blob(b""))
    assert await desk.fetch(attachment.id).read() == b""


async def test_a_name_is_a_label_and_never_a_path(
    desk: OrderDesk, number: int, attachments: Path, tmp_path: Path
) -> None:
    attachment = await desk.attach(number, Blob(b"boo", name="../../escaped"))
    assert attachment.name == "../../escaped"
    assert names(attachments) == [str(attachment.id)]
    assert not (tmp_path.parent / "escaped").exists()


async def test_a_transfer_that_breaks_leaves_nothing(desk: OrderDesk, number: int, attachments: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(100_000)
        raise OSError("the memory stick was pulled out")

    with pytest.raises(OSError, match="pulled out"):
        await desk.attach(number, Blob(broken()))
    assert (await desk.find(number)).attachments == ()
    with trio.fail_after(5):  # the server tidies up when it hears of it
        while names(attachments):  # noqa: ASYNC110 - the other side's state
            await trio.sleep(0.01)


async def test_a_broken_download_goes_on_where_it_ended(desk: OrderDesk, number: int, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    attachment = await desk.attach(number, Blob(content))
    target = tmp_path / "copy"
    (tmp_path / "copy.part").write_bytes(content[:200_000])
    seen: list[int] = []
    await desk.fetch(attachment.id).save(target, resume=True, progress=lambda done, _: seen.append(done))
    assert target.read_bytes() == content
    assert seen[0] > 200_000


async def test_what_is_not_there_is_not_found(desk: OrderDesk) -> None:
    with pytest.raises(NotFound, match="order 7"):
        await desk.attach(7, Blob(b"content"))
    with pytest.raises(NotFound, match="attachment"):
        await desk.fetch(uuid4()).read()
