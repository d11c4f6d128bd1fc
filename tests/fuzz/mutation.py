"""Seeded damage: octets, frames and fields that no honest peer sends. Standard library alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from random import Random
from typing import Any

from protocol.wire.codec import pack, unpack
from protocol.wire.errors import CodecError
from protocol.wire.framing import Frame, FrameReader, encode_frame

MOST = 256 * 1024
"""Octets of one input: what one read from a socket takes."""

NASTY: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1 << 31,
    (1 << 64) - 1,
    1 << 64,
    1 << 4000,
    float("nan"),
    float("inf"),
    "",
    "x" * 5000,
    b"",
    b"\xc1" * 50,
    [],
    {},
    [[]],
    {"a": {}},
    set(),
    {1, "a"},
    [None] * 100,
    {"limits": {"frame": -1}},
    {"causes": [["a", "b", "no", {}]]},
)
INTERESTING = bytes(
    [0, 1, 0x7F, 0x80, 0x90, 0x91, 0xC1, 0xC4, 0xC7, 0xD4, 0xD8, 0xDC, 0xDD, 0xDE, 0xDF, 0xFF]
)


def _flip(chance: Random, data: bytearray) -> None:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _replace(chance: Random, data: bytearray) -> None:
    data[chance.randrange(len(data))] = chance.choice(INTERESTING)


def _insert(chance: Random, data: bytearray) -> None:
    at = chance.randrange(len(data) + 1)
    data[at:at] = chance.randbytes(chance.randrange(1, 9))


def _delete(chance: Random, data: bytearray) -> None:
    at = chance.randrange(len(data))
    del data[at : at + chance.randrange(1, 9)]


def _copy(chance: Random, data: bytearray) -> None:
    start = chance.randrange(len(data))
    piece = data[start : start + chance.randrange(1, 200)]
    at = chance.randrange(len(data) + 1)
    data[at:at] = piece


def _repeat(chance: Random, data: bytearray) -> None:
    """A short piece many times over: what bombs are made of."""
    start = chance.randrange(len(data))
    piece = bytes(data[start : start + chance.randrange(1, 6)])
    at = chance.randrange(len(data) + 1)
    data[at:at] = piece * (chance.choice((10, 1000, 20_000)) // len(piece))


def _truncate(chance: Random, data: bytearray) -> None:
    del data[chance.randrange(len(data)) :]


def _header(chance: Random, data: bytearray) -> None:
    """The header of a container or a frame that announces something else."""
    at = chance.randrange(len(data))
    data[at : at + 5] = bytes([chance.choice(INTERESTING)]) + chance.choice(
        (b"\xff" * 4, b"\x00\x00\xff\xff", b"\x00\x01\x00\x00", b"\x00" * 4)
    )


# Damage that leaves most of an input whole comes more often.
_DAMAGES: tuple[Callable[[Random, bytearray], None], ...] = (
    *(_flip, _replace, _insert, _delete, _copy) * 3,
    *(_truncate, _header, _header, _repeat),
)


def damage(chance: Random, data: bytes) -> bytes:
    """Octets with one to six things wrong."""
    octets = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        if octets:
            chance.choice(_DAMAGES)(chance, octets)
    return bytes(octets[:MOST])


def damage_value(chance: Random, value: Any) -> Any:
    """A value with one of its parts replaced."""
    if isinstance(value, list) and value and chance.random() < 0.8:
        at = chance.randrange(len(value))
        return [*value[:at], damage_value(chance, value[at]), *value[at + 1 :]]
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(list(value))
        return {**value, key: damage_value(chance, value[key])}
    return chance.choice(NASTY)


def damage_frame(chance: Random, frame: Frame) -> Frame:
    """A frame with its type, flags, stream or one field changed."""
    match chance.randrange(6):
        case 0:
            return frame._replace(type=chance.choice((1, 2, 3, *range(0x0F, 0x18), *range(0x20, 0x36), 255)))
        case 1:
            return frame._replace(flags=chance.choice((1, 2, 3, 4, 5, 0x80, 0xFF)))
        case 2:
            return frame._replace(stream=chance.choice((0, 1, 2, 3, 4, 5, 7, 0x7FFFFFFF, 0xFFFFFFFF)))
        case 3:
            return frame._replace(payload=damage(chance, frame.payload))
        case _:
            try:
                value = unpack(frame.payload)
            except CodecError:
                return frame._replace(payload=damage(chance, frame.payload))
            return frame._replace(payload=pack(damage_value(chance, value)))


def damage_session(chance: Random, data: bytes) -> bytes:
    """A recorded session with frames changed, left out, repeated and moved, or octets wrong anywhere."""
    if chance.random() < 0.2:
        return damage(chance, data)
    frames = FrameReader(1 << 24).feed(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(frames))
        match chance.randrange(8):
            case 0:
                del frames[at]
            case 1:
                frames[at:at] = [frames[at]] * chance.choice((1, 1, 20, 300))
            case 2:
                frames.insert(chance.randrange(len(frames)), frames.pop(at))
            case _:
                frames[at] = damage_frame(chance, frames[at])
        if not frames:
            break
    return b"".join(encode_frame(*frame) for frame in frames)[:MOST]


def split(chance: Random, data: bytes) -> list[bytes]:
    """The same octets in pieces."""
    match chance.randrange(4):
        case 0 if len(data) < 2000:
            return [data[at : at + 1] for at in range(len(data))]
        case 1:
            cuts = sorted({0, len(data), *(chance.randrange(len(data) + 1) for _ in range(6))})
            return [data[start:end] for start, end in itertools.pairwise(cuts)]
        case _:
            return [data] if data else []
