"""The terminal's commands, each on a proxy of the harness."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from orders.client import build_parser, load, place
from orders.contract import NewLine, NewOrder, NotFound, OrderDesk, Status


async def run(desk: OrderDesk, *words: str) -> None:
    arguments = build_parser().parse_args(words)
    await arguments.command(desk, arguments)


async def test_products_and_customers_are_listed(desk: OrderDesk, capsys: pytest.CaptureFixture[str]) -> None:
    await run(desk, "products", "saw")
    await run(desk, "customers", "ada")
    assert capsys.readouterr().out.splitlines() == [
        "SAW-300        24.90     12  Hand saw 300 mm",
        "    1  Ada Lovelace",
    ]


async def test_an_order_is_placed_listed_and_moved_on(
    desk: OrderDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    await run(desk, "add", "1", "GEAR-24=2", "TAPE-50", "--urgent", "--note", "ring twice")
    assert "83.05  Ada Lovelace" in capsys.readouterr().out
    await run(desk, "move", "1", "packed")
    await run(desk, "list", "--status", "packed")
    assert capsys.readouterr().out.count("packed") == 2
    await run(desk, "list", "--status", "placed")
    assert not capsys.readouterr().out


async def test_a_file_is_attached_and_fetched(
    desk: OrderDesk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "drawing.pdf"
    source.write_bytes(b"%PDF" * 10_000)
    await place(desk, NewOrder(1, (NewLine("TAPE-50", 1),)))
    await run(desk, "attach", "1", str(source))
    await run(desk, "find", "1")
    assert "drawing.pdf (40000 bytes" in capsys.readouterr().out
    target = tmp_path / "copy.pdf"
    await run(desk, "fetch", "1", "drawing.pdf", "--to", str(target))
    assert target.read_bytes() == source.read_bytes()
    with pytest.raises(NotFound):
        await run(desk, "fetch", "1", "other.pdf")


async def test_a_fetched_file_is_written_to_this_folder_whatever_its_name(
    desk: OrderDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from protocol import Blob

    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)
    number = await place(desk, NewOrder(1, (NewLine("TAPE-50", 1),)))
    await desk.attach(number, Blob(b"boo", name="../escaped"))
    await run(desk, "fetch", "1", "../escaped")
    assert (inner / "escaped").read_bytes() == b"boo"
    assert not (tmp_path / "escaped").exists()


async def test_orders_are_exported_as_csv(desk: OrderDesk, tmp_path: Path) -> None:
    await load(desk, [NewOrder(1 + index % 3, (NewLine("TAPE-50", 1),)) for index in range(5)])
    await desk.move(2, Status.SHIPPED)
    file = tmp_path / "orders.csv"
    await run(desk, "export", str(file))
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["number"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert (rows[1]["status"], rows[1]["total"], rows[2]["customer"]) == (
        "shipped",
        "3.15",
        "Müller & Söhne GmbH",
    )


@pytest.mark.parametrize(
    "words",
    [["add", "1", "TAPE-50=many"], ["move", "1", "placed"], ["find", "seven"], []],
    ids=["quantity", "status", "number", "no command"],
)
def test_a_wrong_command_line_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args(words)
    assert caught.value.code == 2
    assert "usage: orders" in capsys.readouterr().err
