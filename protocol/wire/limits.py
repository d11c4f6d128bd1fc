"""The limits of one connection.

Each side states its own limits in its first frame (HELLO or WELCOME) and enforces them on what it
receives; the other side keeps to them when it sends. What is not stated has the default given here,
so a client in another language may state none at all.

It knows nothing of settings files: the server and the client make a `Limits` from their settings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

MAX_FRAME = (1 << 24) - 1
"""Bytes a frame's payload may ever have, so that a plain frame's first octet is always zero
(the listener tells TLS, whose first octet is 0x16, from plain frames by that)."""

HANDSHAKE_FRAME = 16 * 1024
"""Bytes of payload a frame may have before WELCOME: what a stranger can make the other side hold."""

OPEN_MESSAGES = 4
"""Messages of more than one frame a sender may have under way at once. It bounds what a receiver
must hold for reassembly to four times the message limit, whatever the number of open calls."""


def _between(low: int, high: int) -> Callable[[Any, attrs.Attribute[int], int], None]:
    def check(_limits: object, attribute: attrs.Attribute[int], value: int) -> None:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"limits.{attribute.name}: expected {low} to {high}, got {value!r}")

    return check


@attrs.frozen
class Limits:
    """What one side accepts. All sizes in bytes.

    Attributes:
        frame: largest payload of one frame.
        message: largest message of one or more frames: a call's arguments, a result, a stream's item.
        open_calls: calls, streams and blobs that may be open at once, by the side that opens them.
        subscriptions: event subscriptions that may be open at once.
        stream_credit: bytes of stream items or blob content that may be sent on a new stream before
            the first CREDIT. It counts for every open call, so it is small; see `stream_window`.
        stream_window: bytes that a stream's credit grows to while its consumer keeps up.
        connection_credit: bound on what the credit of all streams together may grow by, beyond what each
            began with.
        depth: nesting of arrays and maps.
        elements: elements of one array or map, and containers of one message.
        pending_output: unsent bytes after which a peer counts as a slow consumer and is dropped.
    """

    frame: int = attrs.field(default=64 * 1024, validator=_between(1024, MAX_FRAME))
    message: int = attrs.field(default=4 * 1024 * 1024, validator=_between(1024, 1 << 30))
    open_calls: int = attrs.field(default=100, validator=_between(1, 1 << 20))
    subscriptions: int = attrs.field(default=1000, validator=_between(0, 1 << 20))
    stream_credit: int = attrs.field(default=64 * 1024, validator=_between(1, 1 << 30))
    stream_window: int = attrs.field(default=1024 * 1024, validator=_between(1, 1 << 30))
    connection_credit: int = attrs.field(default=4 * 1024 * 1024, validator=_between(1, 1 << 32))
    depth: int = attrs.field(default=64, validator=_between(1, 512))
    elements: int = attrs.field(default=65_536, validator=_between(16, 1 << 24))
    pending_output: int = attrs.field(default=8 * 1024 * 1024, validator=_between(64 * 1024, 1 << 32))


STATED = ("frame", "message", "open_calls", "subscriptions", "stream_credit")
"""The limits that the other side must know: what HELLO and WELCOME carry."""

DEFAULT_LIMITS = Limits()
