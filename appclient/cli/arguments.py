"""The words of a command line, bound to a described method's parameters.

The stream or blob that a method takes has no place among the described parameters: on the command
line it is the one word that starts with `@`, wherever it stands: `@path`, or `@-` for standard input.
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import attrs

from appclient.cli.described import DescribedInterface, DescribedMethod, DescribedParameter
from appclient.cli.values import ValueReader, read_json
from protocol.interface import Blob, Channel, InvalidValue, Stream

_NAMED = re.compile(r"([A-Za-z]\w*)=(.*)", re.DOTALL)
STANDARD_INPUT = "@-"


class UsageError(Exception):
    """The words of the command line do not fit; nothing was called."""


@attrs.frozen
class BoundCall:
    """A call that is ready to be made.

    Attributes:
        interface: what is called.
        method: of it.
        body: the arguments, as `protocol.interface.arguments` defines them.
        channel: the stream or blob that goes with them, or None.
    """

    interface: DescribedInterface
    method: DescribedMethod
    body: list[Any]
    channel: Stream[Any] | Blob | None


def split_name(text: str) -> tuple[str, str]:
    """Split `Interface.method`.

    Raises:
        UsageError: it is not of that form.
    """
    interface, dot, method = text.partition(".")
    if not (dot and interface.isidentifier() and method.isidentifier()):
        raise UsageError(
            f"{text!r} is not the name of a method: expected Interface.method, such as Orders.find"
        )
    return interface, method


def bind(interface: DescribedInterface, name: str, words: Sequence[str]) -> BoundCall:
    """Bind words to a method's parameters.

    Args:
        interface: what is called.
        name: of the method.
        words: as typed, each one argument: JSON, a bare word, `name=value`, `@path`.

    Raises:
        UsageError: there is no such method, or the words do not fit it.
    """
    method = interface.methods.get(name)
    if method is None:
        near = difflib.get_close_matches(name, interface.methods, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; it has {', '.join(interface.methods) or 'none'}"
        raise UsageError(f"{interface.name} has no method {name}{hint}")
    reader = ValueReader(interface.types)
    rest = list(words)
    try:
        channel = _take_channel(method, rest, reader)
        values = _assign(method, rest, reader)
        return BoundCall(interface, method, _body(method, values), channel)
    except InvalidValue as exc:
        raise UsageError(f"{interface.name}.{method.signature}: {exc}") from exc
    except _Unfit as exc:
        raise UsageError(f"{interface.name}.{method.signature}: {exc}") from None
    except RecursionError:
        raise UsageError("the arguments are nested too deeply") from None


class _Unfit(Exception):
    """A word too many or too few."""


def _assign(method: DescribedMethod, words: list[str], reader: ValueReader) -> dict[str, Any]:
    """Give each word to a parameter."""
    named = {parameter.name: parameter for parameter in method.parameters if parameter.named}
    positional = [parameter for parameter in method.parameters if parameter.positional]
    values: dict[str, Any] = {}
    place = 0
    for word in words:
        match = _NAMED.fullmatch(word)
        if match and match[1] in named:
            parameter, token = named[match[1]], match[2]
        elif place < len(positional):
            parameter, token = positional[place], word
            place += 1
        elif word.startswith("--"):
            raise _Unfit(f"there is no option {word} (a text that starts like this goes in JSON quotes)")
        else:
            raise _Unfit(f"one argument too many: {word}{_hint(method, match)}")
        if parameter.name in values:
            raise _Unfit(f"{parameter.name} is given twice")
        values[parameter.name] = _read(parameter, token, reader)
    return values


def _hint(method: DescribedMethod, match: re.Match[str] | None) -> str:
    if match is None:
        return ""
    return f" (no parameter is named {match[1]})"


def _read(parameter: DescribedParameter, token: str, reader: ValueReader) -> Any:
    try:
        return reader.read_token(token, parameter.type)
    except InvalidValue as error:
        error.within(parameter.name)
        raise


def _body(method: DescribedMethod, values: dict[str, Any]) -> list[Any]:
    for parameter in method.parameters:
        if parameter.required and parameter.name not in values:
            how = "" if parameter.positional else f", as {parameter.name}=VALUE"
            raise _Unfit(f"{parameter.name} is missing{how}")
    body: list[Any] = []
    for parameter in method.parameters:
        if not parameter.positional or parameter.name not in values:
            break  # what follows a gap travels by its name
        body.append(values.pop(parameter.name))
    body.append(values)
    return body


def _take_channel(
    method: DescribedMethod, words: list[str], reader: ValueReader
) -> Stream[Any] | Blob | None:
    """Take the stream or blob out of the words."""
    if method.takes is Channel.NONE:
        return None
    index = next((index for index, word in enumerate(words) if word.startswith("@")), None)
    if index is not None:
        source = words.pop(index)
        if method.takes is Channel.BYTES:
            return _blob(source)
        return Stream(_lines(source, method.take_item, reader))
    if method.takes is Channel.BYTES:
        raise _Unfit("it takes a file, as @path, or @- for standard input")
    if words and words[-1].lstrip().startswith("["):
        return Stream(reader.read_token(words.pop(), {"list": method.take_item}))
    raise _Unfit(
        "it takes a stream: a JSON list as the last argument, or a file of JSON lines as @path or @-"
    )


def _blob(source: str) -> Blob:
    if source == STANDARD_INPUT:
        return Blob(sys.stdin.buffer)
    path = _existing(source)
    return Blob(path, size=path.stat().st_size, name=path.name)


def _lines(source: str, item: Any, reader: ValueReader) -> Iterator[Any]:
    """Read JSON lines, one value each; empty lines do not count."""
    path = None if source == STANDARD_INPUT else _existing(source)
    return _read_lines(sys.stdin if path is None else path.open(encoding="utf-8"), item, reader)


def _read_lines(file: IO[str], item: Any, reader: ValueReader) -> Iterator[Any]:
    with file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield reader.read(read_json(line), item)
            except json.JSONDecodeError as exc:
                raise UsageError(f"line {number} is not JSON: {exc}") from exc
            except InvalidValue as error:
                error.within(f"line {number}")
                raise UsageError(str(error)) from error


def _existing(source: str) -> Path:
    path = Path(source[1:]).expanduser()
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")
    return path
