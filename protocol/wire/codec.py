"""Values to msgpack bytes and back: the one door to msgpack, with `protocol.wire.extensions` behind it.

Theory of operation. msgpack's own limits bound one string or one container, not a whole message:
a megabyte of empty maps becomes 72 MB of Python objects, and a thousand nested arrays end in the
caller's RecursionError. Both need many container headers, and a container header is one of forty
octets; so the bytes of a message that *could* be headers are counted first (one C call). A message
with few of them can be neither deep nor numerous and is decoded directly: that is nearly every
message. Only the others pay for counting hooks while decoding and for a walk over the depth after it.
An array's header reserves memory for the members it announces, so a message with many large headers is
skipped through first, which reserves nothing and fails where members are missing.

Extension types (docs/protocol.md, "Values"): timestamp (-1) is msgpack's own, the rest is ours.
There is no type for code or for remote objects, and there will be none: decoding never calls
anything that the sender names.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from decimal import InvalidOperation
from typing import Any

import msgpack

from protocol.wire.errors import CodecError
from protocol.wire.extensions import (
    DATE_CODE,
    DECIMAL_CODE,
    FORMS,
    OTHER_FORMS,
    SCALARS,
    UUID_CODE,
    Extension,
    date_of,
    decimal_of,
    extension,
    uuid_of,
)
from protocol.wire.limits import DEFAULT_LIMITS, Limits

KEPT_BUFFER = 64 * 1024
"""Bytes of a message up to which a packer keeps its buffer for the next one."""
MAX_NESTED_SETS = 8
MAX_MEMBERS = 65_536
"""Members of one set."""
MAX_COLLIDING = 32
"""Members of one set beyond the number of their hashes: numbers and UUIDs hash without a secret, and
building a set of n values of one hash takes n * n / 2 comparisons."""

# Every octet that can start a map, an array or an extension: fixmap, fixarray, array 16/32, map 16/32, ext.
_HEADERS = bytes([*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF, 0xC7, 0xC8, 0xC9, *range(0xD4, 0xD9)])


def _form(value: object) -> msgpack.ExtType:
    """What msgpack calls for a value it has no form for."""
    make = FORMS.get(type(value))
    if make is not None:
        return make(value)
    if isinstance(value, set | frozenset):
        return extension(Extension.SET, pack(list(value)))
    for kind, make in OTHER_FORMS.items():
        if isinstance(value, kind):
            return make(value)
    raise CodecError(f"a value of type {type(value).__name__} has no form on the wire")


_unpackb = functools.partial(msgpack.unpackb, timestamp=3, strict_map_key=True)


def _hook_at(nested: int, count: Callable[[Any], Any] | None = None) -> Callable[[int, bytes], object]:
    """The extension hook for values inside `nested` sets: members of a set must be hashable.

    `count`, where it is given, sees every array inside a set.
    """
    inner = _hook_at(nested + 1, count) if nested < MAX_NESTED_SETS else None

    def hook(code: int, data: bytes) -> object:
        if code == DECIMAL_CODE:  # the usual ones without a look-up, which takes a tenth of their time
            return decimal_of(data)
        if code == UUID_CODE:
            return uuid_of(data)
        if code == DATE_CODE:
            return date_of(data)
        if code in SCALARS:
            return SCALARS[code](data)
        if code != Extension.SET:
            raise CodecError(f"extension type {code} is not registered")
        if inner is None:
            raise CodecError(f"sets nested more than {MAX_NESTED_SETS} deep")
        members = _unpackb(
            data, use_list=False, ext_hook=inner, list_hook=count, max_array_len=min(MAX_MEMBERS, len(data))
        )
        if type(members) is not tuple:
            raise CodecError("a set is packed as an array of its members")
        if len(members) - len(set(map(hash, members))) > MAX_COLLIDING:
            raise CodecError("the members of a set collide, or are there more than once")
        return frozenset(members) if nested else set(members)

    return hook


_hook = _hook_at(0)
_unpack_plain = functools.partial(_unpackb, ext_hook=_hook)

# What msgpack and the hooks raise on bytes that are no message (its own errors are ValueErrors).
_FAILURES = (ValueError, TypeError, OverflowError, RecursionError, struct.error, InvalidOperation)


def pack(value: object) -> bytes:
    """Pack one value.

    Args:
        value: None, bool, int, float, str, bytes, list, tuple, dict with str keys, set, frozenset, aware
            datetime, date, time, timedelta, Decimal, UUID, complex, what `FORMS` made of one, or containers of these.

    Returns:
        The msgpack bytes. A datetime becomes UTC, a tuple an array.

    Raises:
        CodecError: a value has no form on the wire (the caller's fault).
    """
    try:
        packed: bytes = msgpack.packb(value, default=_form, datetime=True)
    except CodecError:
        raise
    except _FAILURES as exc:
        raise CodecError(f"cannot be packed: {exc}") from exc
    return packed


def new_packer() -> Callable[[object], bytes]:
    """Return a `pack` that keeps its buffer between calls, three times as fast on small values, for one thread."""
    reused: Callable[[object], bytes] | None = None  # nothing yet: an idle connection packs nothing

    def packer(value: object) -> bytes:
        nonlocal reused
        if reused is None:
            reused = msgpack.Packer(default=_form, datetime=True, buf_size=1024).pack
        try:
            packed = reused(value)
        except CodecError:
            raise
        except _FAILURES as exc:
            raise CodecError(f"cannot be packed: {exc}") from exc
        if len(packed) > KEPT_BUFFER:  # msgpack would keep twice as much for as long as the packer lives
            reused = None
        return packed

    return packer


def unpack(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Any:
    """Unpack exactly one value from untrusted bytes.

    Args:
        data: the whole message, not more.
        limits: bounds on depth and numbers of elements.

    Returns:
        Plain values and the extension types' Python values; arrays are lists, sets are sets.

    Raises:
        CodecError: the bytes are no message, or break a limit (the sender's fault).
    """
    elements = limits.elements
    depth = limits.depth
    size = len(data)
    try:
        # As numbers: with bytes on the left, `in` raises and catches a TypeError before it searches.
        has_bytes = 0xC4 in data or 0xC5 in data or 0xC6 in data
        decode = _unpack_checked if has_bytes else _unpack_plain
        if size <= depth:
            return decode(data)
        headers = size - len(data.translate(None, _HEADERS))
        if headers > depth and data.count(b"\xdc") + data.count(b"\xdd") > depth:
            _check_complete(data)
        if size <= elements:  # so that no container can announce more
            value = decode(data)
        elif headers <= elements:
            value = decode(data, max_array_len=elements, max_map_len=elements)
        else:
            value = _unpack_counting(data, elements)
    except CodecError:
        raise
    except _FAILURES as exc:
        raise CodecError(f"not a msgpack message within the limits: {exc}") from exc
    if headers > depth:
        _check_depth(value, depth)
    return value


def _string_keys(mapping: dict[Any, object]) -> dict[Any, object]:
    """Refuse keys of bytes, which msgpack takes; only called where bytes occur at all."""
    for key in mapping:
        if type(key) is not str:
            raise CodecError("the keys of a map are strings")
    return mapping


_unpack_checked = functools.partial(_unpack_plain, object_hook=_string_keys)


def _check_complete(data: bytes) -> None:
    """Refuse a message whose arrays announce more members than it has, before anything is reserved."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(data))
    unpacker.feed(data)
    try:
        unpacker.skip()
    except msgpack.OutOfData as exc:
        raise CodecError("an array announces more members than there are") from exc


def _unpack_counting(data: bytes, elements: int) -> object:
    """Unpack with a bound on the number of containers and extensions of the whole message."""
    left = elements

    def count(value: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise CodecError(f"more than {elements} arrays, maps and extensions in one message")
        return value

    def count_map(mapping: dict[Any, object]) -> dict[Any, object]:
        return _string_keys(count(mapping))

    extension = _hook_at(0, count)

    def hook(code: int, content: bytes) -> object:
        return count(extension(code, content))

    return _unpackb(
        data,
        ext_hook=hook,
        max_array_len=elements,
        max_map_len=elements,
        list_hook=count,
        object_hook=count_map,
    )


_CONTAINERS = frozenset({list, dict, set, frozenset, tuple})


def _check_depth(value: Any, depth: int) -> None:
    """Refuse arrays, maps and sets nested more than `depth` deep; level by level, so without recursion."""
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(depth):
        if not level:
            return
        level = [
            member
            for container in level
            for member in (container.values() if type(container) is dict else container)
            if type(member) in _CONTAINERS
        ]
    if level:
        raise CodecError(f"nested more than {depth} deep")
