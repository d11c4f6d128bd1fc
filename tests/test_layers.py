"""The house's borders, read from the source: which package may import which, and what is banned where."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("protocol", "appserver", "appclient")

# What each layer may import besides itself, most specific prefix first.
LAYERS: dict[str, tuple[str, ...]] = {
    "appserver.testing": ("protocol", "appserver", "appclient"),
    "appserver.cli": ("protocol", "appserver"),
    "appclient.cli": ("protocol", "appclient"),
    "appclient.bridge": ("protocol", "appclient"),
    "appserver": ("protocol",),
    "appclient": ("protocol",),
    "protocol.lazy": (),
    "protocol.peer": ("protocol.transport", "protocol.interface", "protocol.wire", "protocol.settings"),
    "protocol.transport": ("protocol.wire", "protocol.certs", "protocol.settings"),
    "protocol.certs": ("protocol.settings", "protocol.lazy"),
    "protocol.settings": (),
    "protocol.interface": ("protocol.wire",),
    "protocol.wire": (),
    "protocol": (),
}
# Packages that nothing below them in the same root may import.
TOPS = ("appserver.cli", "appserver.testing", "appclient.cli", "appclient.bridge")

SANS_IO = ("protocol.wire", "protocol.interface")
SANS_IO_BANS = frozenset({"trio", "ssl", "socket", "time", "random", "os", "pathlib", "logging"})

# The only places that may import a third-party library.
DOORS: dict[str, tuple[str, ...]] = {
    "msgpack": ("protocol.wire.codec", "protocol.wire.extensions"),
    "tomlkit": ("protocol.settings.edit",),
    "structlog": ("appserver.cli.logs",),
    "watchfiles": ("appserver.watching",),
    "cryptography": ("protocol.certs",),
    "truststore": ("protocol.certs.system_store",),
    "cyclopts": ("appserver.cli", "appclient.cli"),
    "rich": ("appserver.cli", "appclient.cli"),
    "pytest": ("appserver.testing",),
    "trio": ("protocol.transport", "protocol.peer", "appserver", "appclient"),
    "attrs": PACKAGES,
}
MOST_LINES = 400


class Module(NamedTuple):
    name: str
    path: Path
    is_package: bool
    tree: ast.Module


def modules_under(root: Path) -> list[Module]:
    modules = []
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            modules.append(Module(name, path, is_package, ast.parse(path.read_text("utf-8"), str(path))))
    return modules


def _is_type_checking(node: ast.If) -> bool:
    test = node.test
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def imports_of(tree: ast.AST, *, lazy: bool = True) -> Iterator[tuple[str, int]]:
    """Names imported at run time, with their lines: `from a import b` gives `a` and `a.b`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and _is_type_checking(node):
            for alternative in node.orelse:
                yield from imports_of(ast.Module([alternative], []), lazy=lazy)
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import in line {node.lineno}"
            assert node.module is not None
            yield node.module, node.lineno
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno
        elif not lazy and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        else:
            yield from imports_of(node, lazy=lazy)


def is_inside(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def layer_of(name: str) -> str:
    return next(layer for layer in LAYERS if is_inside(name, layer))


def upward_imports(modules: list[Module]) -> list[str]:
    known = {module.name for module in modules}
    findings = []
    for module in modules:
        layer = layer_of(module.name)
        for imported, line in imports_of(module.tree):
            if imported not in known or imported in PACKAGES:
                continue
            below_top = [top for top in TOPS if is_inside(imported, top) and not is_inside(module.name, top)]
            allowed = is_inside(imported, layer) or any(is_inside(imported, lower) for lower in LAYERS[layer])
            if "testing" in layer:  # above all
                below_top = []
            if not allowed or below_top:
                findings.append(f"{module.name}:{line} imports {imported}")
    return findings


def banned_imports(modules: list[Module]) -> list[str]:
    return [
        f"{module.name}:{line} imports {imported}"
        for module in modules
        if any(is_inside(module.name, room) for room in SANS_IO)
        for imported, line in imports_of(module.tree)
        if imported.split(".")[0] in SANS_IO_BANS
    ]


def imports_past_the_door(modules: list[Module]) -> list[str]:
    findings = []
    for module in modules:
        for imported, line in imports_of(module.tree):
            library = imported.split(".")[0]
            if library in sys.stdlib_module_names or library in PACKAGES:
                continue
            if not any(is_inside(module.name, door) for door in DOORS.get(library, ())):
                findings.append(f"{module.name}:{line} imports {imported}")
    return findings


def import_cycles(modules: list[Module]) -> list[list[str]]:
    """Groups of modules that import each other, directly or not, when they are loaded."""
    known = {module.name for module in modules}
    graph: dict[str, set[str]] = {}
    for module in modules:
        lines: dict[int, list[str]] = {}
        for imported, line in imports_of(module.tree, lazy=False):
            if imported in known and imported != module.name:
                lines.setdefault(line, []).append(imported)
        # `from package import module` needs that module; the package itself is loaded with any of its own.
        graph[module.name] = {name for names in lines.values() for name in (names[1:] or names)}
    reachable: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        todo = list(graph[start])
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo.extend(graph[name])
        reachable[start] = seen
    groups = {
        tuple(sorted(other for other in seen if start in reachable[other]))
        for start, seen in reachable.items()
        if start in seen
    }
    return [list(group) for group in sorted(groups)]


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    found = modules_under(ROOT)
    assert {"protocol.wire.codec", "appserver", "appclient"} <= {module.name for module in found}
    return found


def test_no_package_imports_what_stands_above_or_beside_it(modules: list[Module]) -> None:
    assert upward_imports(modules) == []


def test_the_sans_io_rooms_import_no_clock_no_chance_and_no_system(modules: list[Module]) -> None:
    assert banned_imports(modules) == []


def test_every_third_party_library_has_one_door(modules: list[Module]) -> None:
    assert imports_past_the_door(modules) == []


def test_no_modules_import_each_other(modules: list[Module]) -> None:
    assert import_cycles(modules) == []


def test_no_module_is_longer_than_the_house_allows(modules: list[Module]) -> None:
    lengths = {module.name: len(module.path.read_text("utf-8").splitlines()) for module in modules}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def test_package_roots_only_pass_names_on(modules: list[Module]) -> None:
    """An __init__ holds its docstring, imports and `__all__`: what it does otherwise has no module's name."""
    findings = []
    for module in modules:
        if not module.is_package:
            continue
        for node in module.tree.body:
            is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            is_all = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            is_guard = isinstance(node, ast.If) and _is_type_checking(node)
            if not (is_docstring or is_all or is_guard or isinstance(node, ast.Import | ast.ImportFrom)):
                findings.append(f"{module.name}:{node.lineno}")
    assert findings == []


class TestTheRulesThemselves:
    """Each rule finds a planted offence, so that none of them passes by looking at nothing."""

    def plant(self, tmp_path: Path, **sources: str) -> list[Module]:
        for package in PACKAGES:
            (tmp_path / package).mkdir(parents=True)
            (tmp_path / package / "__init__.py").touch()
        for name, source in sources.items():
            path = tmp_path.joinpath(*name.split("__")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, "utf-8")
        return modules_under(tmp_path)

    @pytest.mark.parametrize(
        ("module", "source", "target"),
        [
            ("protocol__wire__a", "import protocol.transport.b", "protocol__transport__b"),
            ("protocol__interface__a", "from protocol.peer import b", "protocol__peer__b"),
            ("appserver__a", "from appclient import b", "appclient__b"),
            ("appclient__a", "import appserver.b", "appserver__b"),
            ("protocol__peer__a", "def f():\n    import appserver.b", "appserver__b"),
            ("appserver__a", "import appserver.cli.b", "appserver__cli__b"),
            ("appclient__a", "import appserver.testing.b", "appserver__testing__b"),
        ],
    )
    def test_an_upward_import_is_found(self, tmp_path: Path, module: str, source: str, target: str) -> None:
        assert len(upward_imports(self.plant(tmp_path, **{module: source, target: ""}))) == 1

    def test_the_harness_may_import_both_sides(self, tmp_path: Path) -> None:
        source = "import appclient.b\nimport appserver.b"
        planted = self.plant(tmp_path, appserver__testing__a=source, appserver__b="", appclient__b="")
        assert upward_imports(planted) == []

    def test_a_banned_import_is_found(self, tmp_path: Path) -> None:
        planted = self.plant(tmp_path, protocol__wire__a="def f():\n    from os.path import join")
        assert len(banned_imports(planted)) == 2  # the module and the name

    def test_a_second_door_is_found(self, tmp_path: Path) -> None:
        assert len(imports_past_the_door(self.plant(tmp_path, appserver__a="import msgpack"))) == 1
        assert len(imports_past_the_door(self.plant(tmp_path / "x", appserver__a="import numpy"))) == 1

    def test_a_cycle_is_found_but_not_one_for_types_alone(self, tmp_path: Path) -> None:
        types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import appserver.a"
        planted = self.plant(
            tmp_path,
            appserver__a="import appserver.b",
            appserver__b=types,
            appclient__a="import appclient.b",
            appclient__b="import appclient.a",
        )
        assert import_cycles(planted) == [["appclient.a", "appclient.b"]]
