"""`Interface`: the base class of contracts.

A class that derives from it directly and names a version is a contract; a class that derives from a
contract is an implementation of it. Nothing is examined here: names in annotations may be defined
further down in the module, so `contract_of` reads the class when it is first needed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Protocol

import attrs

from protocol.interface.errors import ContractError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@attrs.frozen
class Declaration:
    """What stands in the class line of a contract.

    Attributes:
        name: of the interface on the wire.
        version: major and minor number.
        errors: exception classes that arrive as themselves.
    """

    name: str
    version: tuple[int, int]
    errors: tuple[type[Exception], ...]


class Interface(Protocol):
    """Base of every contract.

    For example::

        class Orders(Interface, Protocol, version=(1, 0), errors=[OutOfStock]):
            async def find(self, number: int) -> Order: ...
            def follow(self, since: datetime) -> Stream[Order]: ...
            changed: Event[OrderChanged] = event()

    `Protocol` in the class line is for type checkers: it lets the bodies be empty, and an implementation that
    lacks a method cannot be instantiated. At run time it changes nothing.

    Args:
        version: `(major, minor)`; makes the class a contract. Another major number is another contract.
        name: of the interface on the wire, the class's name unless given.
        errors: exception classes that arrive as themselves.
    """

    _interface_declaration: ClassVar[Declaration | None] = None

    def __init_subclass__(
        cls,
        *,
        version: tuple[int, int] | None = None,
        name: str | None = None,
        errors: Sequence[type[Exception]] = (),
    ) -> None:
        super().__init_subclass__()
        where = cls.__qualname__
        if Interface not in cls.__bases__:
            if version is not None or name is not None or errors:
                raise ContractError(
                    f"{where}: only a direct subclass of Interface is a contract and takes arguments"
                )
            return
        if version is None:
            raise ContractError(f"{where}: a contract names its version: (Interface, version=(1, 0))")
        if not _is_version(version):
            raise ContractError(f"{where}: the version is (major, minor), not {version!r}")
        name = cls.__name__ if name is None else name
        if not _NAME.fullmatch(name):
            raise ContractError(f"{where}: the name of an interface is letters, digits and _, not {name!r}")
        cls._interface_declaration = Declaration(name, version, tuple(errors))


def _is_version(version: object) -> bool:
    if not isinstance(version, tuple) or len(version) != 2:
        return False
    return all(type(number) is int and number >= 0 for number in version)


def contract_classes(cls: type) -> list[type[Interface]]:
    """Return the contracts that a class is or implements, in the order of its bases."""
    return [base for base in cls.__mro__ if "_interface_declaration" in vars(base) and base is not Interface]
