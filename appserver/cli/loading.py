"""Finding the application: `package.module:attribute` to the `Application` object."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

from appserver import Application

DEFAULT_ATTRIBUTE = "app"


class ApplicationNotFound(Exception):
    """The application cannot be imported, or is none.

    Attributes:
        file: where the fault is, as far as that is known.
        finding: what is wrong.
        remedy: what to do.
    """

    def __init__(self, file: str, finding: str, remedy: str) -> None:
        super().__init__(f"{file}: {finding}. {remedy}")
        self.file = file
        self.finding = finding
        self.remedy = remedy


def load_application(named: str | None, folders: Iterable[Path]) -> Application:
    """Import the application.

    Args:
        named: `package.module:attribute`; `package.module` alone means its attribute `app`.
        folders: put before all others on the path that modules are found on.

    Raises:
        ApplicationNotFound: it cannot be imported, or it is no `Application`; with the exception of the
            application's own code, if any, as the cause.
    """
    if named is None:
        raise ApplicationNotFound(
            "application.module",
            "no application is named",
            "Name one on the command line (appserver run app:app) or in settings.toml "
            '([application] module = "app:app")',
        )
    module_name, _, attribute = named.partition(":")
    attribute = attribute or DEFAULT_ATTRIBUTE
    _extend_path(folders)
    module = _import(module_name, named)
    missing = object()
    found = getattr(module, attribute, missing)
    file = getattr(module, "__file__", None) or module_name
    if isinstance(found, Application):
        return found
    others = [name for name, value in vars(module).items() if isinstance(value, Application)]
    hint = f"Name it: {module_name}:{others[0]}" if others else f"Write {attribute} = Application(...) there"
    if found is missing:
        finding = f"has no attribute {attribute}, which should be an Application"
    else:
        finding = f"{attribute} is of the type {type(found).__name__}, and should be an Application"
    raise ApplicationNotFound(str(file), finding, hint)


def _extend_path(folders: Iterable[Path]) -> None:
    wanted = list(dict.fromkeys(str(folder.absolute()) for folder in folders))
    sys.path[:] = wanted + [entry for entry in sys.path if entry not in wanted]


def _import(name: str, named: str) -> object:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and (name == exc.name or name.startswith(f"{exc.name}.")):
            raise ApplicationNotFound(
                named,
                f"there is no module {exc.name} in this folder or among the installed packages",
                "Check the name, and run in the folder that holds the module",
            ) from None
        raise _failed(exc, named) from exc
    except (Exception, SystemExit) as exc:
        raise _failed(exc, named) from exc


def _failed(exc: BaseException, named: str) -> ApplicationNotFound:
    """The failure of the application's own code, with the innermost place in a file of its own."""
    file = named
    if isinstance(exc, SyntaxError) and exc.filename:
        file = f"{exc.filename}:{exc.lineno}"
        text = exc.msg
    else:
        frames = [
            frame
            for frame in traceback.extract_tb(exc.__traceback__)
            if not frame.filename.startswith("<") and "importlib" not in frame.filename
        ]
        own = [frame for frame in frames if _is_own(frame.filename)]
        if own:
            file = f"{own[-1].filename}:{own[-1].lineno}"
        text = str(exc)
    finding = f"{type(exc).__name__}{': ' if text else ''}{text}"
    return ApplicationNotFound(
        file, f"{finding} (while importing {named})", "Mend that; --debug shows the traceback"
    )


def _is_own(filename: str) -> bool:
    """Whether a file is the application's, and neither ours, nor Python's, nor a library's."""
    path = Path(filename)
    ours = Path(__file__).parents[2]
    if any(path.is_relative_to(ours / package) for package in ("appserver", "appclient", "protocol")):
        return False
    return "site-packages" not in path.parts and not path.is_relative_to(Path(importlib.__file__).parents[1])
