"""Finding the application: each way to miss it is one message that names the place."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appserver import Application
from appserver.cli.loading import ApplicationNotFound, load_application

GOOD = "from appserver import Application\napp = Application('found')\nother = Application('other')\n"

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """Return what writes a module and gives its name; path and modules are as before afterwards."""
    path, modules = list(sys.path), set(sys.modules)
    count = iter(range(100))

    def write_module(source: str) -> str:
        name = f"application_{tmp_path.name.replace('-', '_')}_{next(count)}"
        (tmp_path / f"{name}.py").write_text(source)
        return name

    yield write_module
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("application_"):
            del sys.modules[name]


def refusal(named: str | None, folder: Path) -> ApplicationNotFound:
    with pytest.raises(ApplicationNotFound) as caught:
        load_application(named, [folder])
    return caught.value


def test_the_attribute_is_app_where_none_is_named(tmp_path: Path, write: Write) -> None:
    name = write(GOOD)
    assert load_application(name, [tmp_path]).name == "found"
    assert load_application(f"{name}:other", [tmp_path]).name == "other"
    assert isinstance(load_application(f"{name}:app", [tmp_path]), Application)


def test_nothing_named_says_where_to_name_it(tmp_path: Path) -> None:
    error = refusal(None, tmp_path)
    assert error.file == "application.module"
    assert "appserver run app:app" in error.remedy


def test_a_module_that_is_missing(tmp_path: Path, write: Write) -> None:
    assert "there is no module no_such_module" in refusal("no_such_module:app", tmp_path).finding
    name = write(GOOD)
    assert f"there is no module {name}.inner" in refusal(f"{name}.inner:app", tmp_path).finding


def test_an_attribute_that_is_missing_or_something_else(tmp_path: Path, write: Write) -> None:
    name = write(GOOD.replace("app =", "served =") + "number = 7\n")
    error = refusal(name, tmp_path)
    assert error.file == str(tmp_path / f"{name}.py")
    assert error.finding == "has no attribute app, which should be an Application"
    assert error.remedy == f"Name it: {name}:served"
    assert "number is of the type int" in refusal(f"{name}:number", tmp_path).finding


@pytest.mark.parametrize(
    ("source", "line", "finding"),
    [
        ("\nimport no_such_library\n", 2, "ModuleNotFoundError: No module named 'no_such_library'"),
        ("x = 1\n\nx / 0\n", 3, "ZeroDivisionError: division by zero"),
        ("def f(:\n", 1, "SyntaxError: "),
        ("import sys\nsys.exit('no licence')\n", 2, "SystemExit: no licence"),
        (
            "from appserver import Application\napp = Application('a')\napp.register(7)\n",
            3,
            "ContractError: ",
        ),
    ],
)
def test_a_module_that_fails_names_its_own_line(
    tmp_path: Path, write: Write, source: str, line: int, finding: str
) -> None:
    name = write(source)
    error = refusal(name, tmp_path)
    assert error.file == f"{tmp_path / name}.py:{line}"
    assert error.finding.startswith(finding)
    assert error.finding.endswith(f"(while importing {name})")
    assert "--debug" in error.remedy
