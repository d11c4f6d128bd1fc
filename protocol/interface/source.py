"""Generated functions: source text in, a function out.

Arguments and structures are converted by functions written for their one signature or class, as
`attrs` writes an `__init__`: a loop over fields would cost more than the fields. What is generated
stays readable: a traceback shows its lines, and `inspect.getsource` works.

Names. A generated function may have parameters that an application chose, so every name of ours
starts with an underscore, which parameters of an interface may not.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from types import NoneType
from typing import Any

from protocol.interface.converter import Conversion, Converter


class Source:
    """Lines of one function and the names that it uses.

    Args:
        title: what the function is for, shown as the file name in tracebacks: `Orders.find encode`.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._lines: list[str] = []
        self._names: dict[str, object] = {"_type": type}

    def line(self, indent: int, text: str) -> None:
        """Add a line, `indent` levels in."""
        self._lines.append("    " * indent + text)

    def bind(self, name: str, value: object) -> str:
        """Make a value known to the function under `_<name>` and return that name."""
        name = f"_{name}"
        self._names[name] = value
        return name

    def convert(self, indent: int, variable: str, at: str, converter: Converter, convert: Conversion) -> None:
        """Add the conversion of a variable in place, with the check of values that pass untouched inlined.

        Args:
            indent: levels.
            variable: its name in the function.
            at: the step that goes into `_at`, where the function's error path finds it.
            converter: of the variable's type.
            convert: its `encode` or its `decode`.
        """
        function = self.bind(f"convert_{variable.lstrip('_')}", convert)
        guard = self._guard(variable, converter)
        if guard:
            self.line(indent, f"if {guard}:")
            indent += 1
        self.line(indent, f"_at = {at!r}")
        self.line(indent, f"{variable} = {function}({variable})")

    def _guard(self, variable: str, converter: Converter) -> str:
        kinds = [kind for kind in converter.passes if kind is not NoneType]
        if not kinds or len(kinds) > 3:
            return ""
        checks = [f"{variable} is not None"] if NoneType in converter.passes else []
        checks += [f"_type({variable}) is not {self.bind(kind.__name__, kind)}" for kind in kinds]
        return " and ".join(checks)

    def build(self, name: str) -> Callable[..., Any]:
        """Compile the lines, which define one function, and return it.

        Args:
            name: of the function.
        """
        text = "\n".join(self._lines) + "\n"
        # The number keeps two interfaces of one name apart; tracebacks find the lines through linecache.
        filename = f"<generated {self._title} {id(self):x}>"
        namespace = dict(self._names)
        exec(compile(text, filename, "exec"), namespace)
        linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
        function: Callable[..., Any] = namespace[name]  # type: ignore[assignment]
        return function
