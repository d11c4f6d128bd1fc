"""Packages whose names are imported when they are first asked for: what type checkers read is what there is."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.lazy import lazy_names

ROOT = Path(__file__).parent.parent
PACKAGES = ("protocol", "protocol.certs", "appserver")


def guard_of(package: str) -> ast.If:
    tree = ast.parse((ROOT.joinpath(*package.split(".")) / "__init__.py").read_text("utf-8"))
    (guard,) = (node for node in tree.body if isinstance(node, ast.If))
    return guard


def imports_of(package: str) -> dict[str, list[str]]:
    """What type checkers read."""
    imports = [node for node in guard_of(package).body if isinstance(node, ast.ImportFrom)]
    return {str(node.module): [alias.name for alias in node.names] for node in imports}


def table_of(package: str) -> dict[str, list[str]]:
    """What counts at run time."""
    (assigned,) = guard_of(package).orelse
    assert isinstance(assigned, ast.Assign)
    assert isinstance(assigned.value, ast.Call)
    homes: dict[str, str] = ast.literal_eval(assigned.value.args[1])
    return {home: names.split() for home, names in homes.items()}


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("package", PACKAGES)
class TestEachPackage:
    def test_has_the_names_that_type_checkers_read(self, package: str) -> None:
        assert table_of(package) == imports_of(package)

    def test_says_all_of_them(self, package: str) -> None:
        module = importlib.import_module(package)
        names = sorted(name for names in table_of(package).values() for name in names)
        assert sorted(module.__all__) == names == dir(module)

    def test_passes_on_what_the_modules_have(self, package: str) -> None:
        module = importlib.import_module(package)
        for home, names in table_of(package).items():
            for name in names:
                assert getattr(module, name) is getattr(importlib.import_module(home), name)

    def test_has_no_other_name(self, package: str) -> None:
        with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
            getattr(importlib.import_module(package), "nothing")  # noqa: B009 - mypy knows that it is not there
        with pytest.raises(ImportError, match="cannot import name 'nothing'"):
            exec(f"from {package} import nothing")


def test_a_mistake_in_a_home_is_not_a_missing_name() -> None:
    get, _ = lazy_names("a", {"protocol.no_such_module": "name"})
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        get("name")


def test_what_runs_before_the_process_begins_anew_loads_little() -> None:
    loaded = modules_after("import appserver.cli.groups_start")
    ours = {name for name in loaded if name.startswith("protocol.")}
    assert ours == {
        "protocol.lazy",
        "protocol.certs",
        "protocol.certs.groups",
        "protocol.certs.openssl_config",
    }
    assert not {"attrs", "trio", "cyclopts", "cryptography", "tempfile"} & loaded


def test_a_client_loads_no_cryptography_and_nothing_of_a_command() -> None:
    assert not {"cryptography", "cyclopts", "rich", "structlog", "tomlkit"} & modules_after(
        "import appclient"
    )
