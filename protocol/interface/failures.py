"""Registered exception classes: errors of an application that arrive as themselves.

An attrs exception travels as its fields, a plain one as its arguments, which are texts. The code that
names the class on the wire is stable: it is part of the contract, the class's module is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from protocol.interface.annotations import Compiler
from protocol.interface.converter import Plain
from protocol.interface.errors import ContractError, InvalidValue, mismatch

_CODE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
RESERVED = "rpc."
"""What the protocol's own codes start with."""


@attrs.frozen
class ErrorSpec:
    """One registered exception class.

    Attributes:
        code: what names it on the wire, `orders.out_of_stock`.
        kind: the class.
        encode: exception to plain data; raises `InvalidValue`, path from `error`.
        decode: plain data (untrusted) to exception; raises likewise.
        description: its data as a description holds it.
    """

    code: str
    kind: type[Exception]
    encode: Callable[[BaseException], object]
    decode: Callable[[object], Exception]
    description: Plain


def read_errors(interface: str, kinds: Iterable[Any], compiler: Compiler) -> dict[str, ErrorSpec]:
    """Return the registered exception classes of an interface by code.

    Args:
        interface: its name.
        kinds: the classes, as registered.
        compiler: of the contract.

    Raises:
        ContractError: something that is no exception class or cannot travel, or a code twice or reserved.
    """
    specs: dict[str, ErrorSpec] = {}
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise ContractError(f"{interface}: errors holds exception classes, not {kind!r}")
        code = _code(interface, kind)
        if code in specs:
            raise ContractError(
                f"{interface}: {specs[code].kind.__name__} and {kind.__name__} share the code {code!r}"
            )
        if attrs.has(kind):
            specs[code] = _attrs_error(interface, code, kind, compiler)
        else:
            specs[code] = _plain_error(interface, code, kind)
    return specs


def _code(interface: str, kind: type[Exception]) -> str:
    own = getattr(kind, "code", None)  # in an attrs class with such a field this is no text
    code = own if isinstance(own, str) else f"{interface.lower()}.{_WORD.sub('_', kind.__name__).lower()}"
    if not _CODE.fullmatch(code):
        raise ContractError(
            f"{interface}: the code {code!r} of {kind.__name__} is not of the form area.what_happened"
        )
    if code.startswith(RESERVED):
        raise ContractError(
            f"{interface}: the code {code!r} of {kind.__name__}: {RESERVED}* is the protocol's"
        )
    return code


def _attrs_error(interface: str, code: str, kind: Any, compiler: Compiler) -> ErrorSpec:
    converter = compiler.converter(kind, f"{interface}: error {kind.__name__}").rooted("error")
    return ErrorSpec(code, kind, converter.encode, converter.decode, converter.description)


def _plain_error(interface: str, code: str, kind: type[Exception]) -> ErrorSpec:
    if "__init__" in {name for base in kind.__mro__ if base.__module__ != "builtins" for name in vars(base)}:
        raise ContractError(
            f"{interface}: error {kind.__name__} has an __init__ of its own, so its arguments are not known: "
            "make it an attrs class (@attrs.define), whose fields arrive as they are"
        )

    def encode(error: BaseException) -> list[str]:
        return [argument if type(argument) is str else str(argument) for argument in error.args]

    def decode(data: object) -> Exception:
        if type(data) is not list:
            raise InvalidValue("error", "list[str]", type(data).__name__)
        for index, argument in enumerate(data):
            if type(argument) is not str:
                wrong = mismatch("str", argument)
                wrong.within(f"error[{index}]")
                raise wrong
        try:
            return kind(*data)
        except Exception as exc:  # a builtin base that wants other arguments
            got = f"{type(exc).__name__}: {exc}"
            raise InvalidValue("error", f"arguments of {kind.__name__}", got) from exc

    return ErrorSpec(code, kind, encode, decode, {"list": "str"})
