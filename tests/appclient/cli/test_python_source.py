"""A contract written from a description is the contract that was described."""

from __future__ import annotations

import enum
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import attrs
import pytest

from appclient.cli.described import UnreadableDescription, read_interface
from appclient.cli.python_source import contract_source
from protocol import Interface
from protocol.interface import Contract, contract_of, differences
from protocol.wire.codec import pack, unpack
from protocol.wire.limits import Limits
from tests.appclient.cli.interface_for_tests import Desk, Line, OutOfStock

Load = Callable[[str], types.ModuleType]


@pytest.fixture
def load() -> Iterator[Load]:
    """Return what runs a module's source, as a file of that text would run."""
    name = "written_contract"

    def run(source: str) -> types.ModuleType:
        module = types.ModuleType(name)
        sys.modules[name] = module
        exec(compile(source, f"<{name}>", "exec"), vars(module))
        return module

    yield run
    sys.modules.pop(name, None)


def description_of(cls: type) -> dict[str, Any]:
    described: dict[str, Any] = unpack(pack(dict(contract_of(cls).description)), Limits())
    return described


def written(cls: type, *, blocking: bool = False) -> str:
    return contract_source(read_interface(cls.__name__, description_of(cls)), blocking=blocking)


def loaded_contract(load: Load, source: str, name: str) -> Contract:
    return contract_of(vars(load(source))[name])


@attrs.frozen
class Shape:
    sides: int


class Mood(enum.Enum):
    GOOD = "good"


@attrs.define
class Gone(Exception):
    code = "shop.is_gone"
    shape: Shape


class Exact(Interface, Protocol, version=(2, 1), errors=[Gone]):
    """Nothing in it has a default that a description does not tell."""

    async def find(self, number: int, name: str = 'a "b" \\', /, *, limit: float = 1.5) -> Shape | None:
        """Find it."""
        ...

    async def put(self, shapes: dict[int, set[tuple[int, ...]]], mood: Mood) -> list[Shape]: ...


@pytest.mark.parametrize("blocking", [False, True])
def test_the_fingerprint_is_the_same(load: Load, blocking: bool) -> None:
    contract = loaded_contract(load, written(Exact, blocking=blocking), "Exact")
    assert contract.description == contract_of(Exact).description
    assert contract.fingerprint == contract_of(Exact).fingerprint


@pytest.mark.parametrize("blocking", [False, True])
def test_an_interface_with_every_kind_of_type_works_with_its_server(load: Load, blocking: bool) -> None:
    contract = loaded_contract(load, written(Desk, blocking=blocking), "Desk")
    server = contract_of(Desk)
    assert differences(contract.description, server.description) == []
    assert contract.doc == server.doc
    assert {name: method.doc for name, method in contract.methods.items()} == {
        name: method.doc for name, method in server.methods.items()
    }
    assert contract.description["events"] == server.description["events"]
    assert list(contract.errors) == list(server.errors)


def test_a_registered_error_arrives_as_the_written_class(load: Load) -> None:
    contract = loaded_contract(load, written(Desk), "Desk")
    data = contract_of(Desk).errors["desk.out_of_stock"].encode(OutOfStock("pen", 3))
    error: Any = contract.errors["desk.out_of_stock"].decode(data)
    assert (type(error).__name__, error.product, error.left) == ("OutOfStock", "pen", 3)


def test_a_value_made_with_the_written_classes_is_read_by_the_server(load: Load) -> None:
    module: Any = load(written(Desk))
    contract = contract_of(module.Desk)
    order = module.Order(
        1, [module.Line("pen", module.decimal.Decimal("2.50"), count=3)], due=None, parent=None
    )
    body, _ = contract.methods["add"].encode_arguments((order,), {})
    args, _ = contract_of(Desk).methods["add"].decode_arguments(unpack(pack(body), Limits()), None)
    assert args[0].lines == [Line("pen", module.decimal.Decimal("2.50"), 3)]


def test_the_source_reads_as_a_person_would_write_it() -> None:
    lines = written(Desk).splitlines()
    assert "    async def find(self, number: int) -> Order:" in lines
    assert "    def fetch(self, number: int, /) -> Blob: ..." in lines
    assert "    async def load(self, items: Stream[Line], *, strict: bool = True) -> int: ..." in lines
    assert '    changed: Event[Order] = event(policy="latest", key="number", limit=50)' in lines
    assert "    said: Event[str] = event()" in lines
    assert "class Desk(Interface, Protocol, version=(1, 3), errors=[OutOfStock, Closed]):" in lines
    assert "    def find(self, number: int) -> Order:" in written(Desk, blocking=True).splitlines()


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("methods", "a(self): pass\n    def b"),
        ("events", "x = 1 #"),
        ("types", "A:\n import os #"),
        ("types", ""),
    ],
)
def test_names_that_are_none_are_refused(place: str, name: str) -> None:
    described = description_of(Desk)
    described[place][name] = next(iter(described[place].values()))
    source = None
    try:
        source = contract_source(read_interface("Desk", described))
    except UnreadableDescription:
        return
    assert name not in source  # a type's name may be made an identifier


def test_texts_cannot_leave_their_literals(load: Load) -> None:
    described = description_of(Exact)
    described["doc"] = 'x"""\nraise SystemExit\n\\"""\nraise SystemExit\n"'
    described["methods"]["find"]["doc"] = '"""\nraise SystemExit\n\\'
    described["methods"]["find"]["parameters"][1]["default"] = '"\nraise SystemExit\n#'
    contract = loaded_contract(load, contract_source(read_interface("Exact", described)), "Exact")
    assert contract.doc == described["doc"]
    assert contract.methods["find"].parameters[1].default == '"\nraise SystemExit\n#'


@pytest.mark.parametrize(
    "broken",
    [{}, {"version": 1}, {"name": "X", "version": [1, 0], "methods": [], "events": {}, "errors": {}}],
)
def test_a_broken_description_is_one_error(broken: dict[str, Any]) -> None:
    with pytest.raises(UnreadableDescription, match="update the client"):
        contract_source(read_interface("X", broken))


def test_a_type_that_is_not_known_is_one_error() -> None:
    described = description_of(Exact)
    for kind in ("quaternion", {"matrix": "int"}, {"ref": "Nothing"}, 7, {"list": "int", "set": "int"}):
        described["methods"]["put"]["returns"] = kind
        with pytest.raises(UnreadableDescription):
            contract_source(read_interface("Exact", described))


def test_mypy_accepts_what_is_written(tmp_path: Path) -> None:
    from mypy import api

    for name, blocking in (("waiting", False), ("blocking", True)):
        (tmp_path / f"{name}.py").write_text(written(Desk, blocking=blocking), encoding="utf-8")
    root = Path(__file__).parents[3]
    report, errors, status = api.run(
        [
            "--strict",
            f"--config-file={root / 'pyproject.toml'}",
            f"--cache-dir={root / '.mypy_cache' / 'cli'}",
        ]
        + [str(path) for path in sorted(tmp_path.glob("*.py"))]
    )
    assert status == 0, report + errors
