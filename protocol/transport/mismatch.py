"""Two sides that speak different things: who notices, and how the other one is told.

The first octet tells them apart: TLS starts with 0x16, our own frames with 0x00 (the top octet of a
length below 16 MiB). It is looked at to explain, in a form that the other side can read, and never
to fall back to what the other side happens to speak.

The decisions are made on bytes alone; `examine_client` applies them to a connection.
"""

from __future__ import annotations

from typing import Final

import trio

from protocol.transport.base import ALPN, Carrier
from protocol.transport.errors import (
    SWITCH,
    EncryptionRequired,
    HandshakeTimeout,
    HttpClient,
    Mismatch,
    NotAnAppserver,
    PlainClient,
    TlsClient,
    TransportError,
    UnknownClient,
)
from protocol.wire.codes import ENCRYPTION_REQUIRED
from protocol.wire.envelope import Refuse
from protocol.wire.errors import RemoteProtocolError
from protocol.wire.framing import HEADER, HEADER_SIZE, FrameType, encode_frame
from protocol.wire.limits import Limits

TLS_OCTET: Final = 0x16
"""Content type "handshake" of a TLS record. Source: RFC 8446, section 5.1."""

FRAME_OCTET: Final = 0x00
_TYPE_AT: Final = 4
_TYPES: Final = frozenset(int(kind) for kind in FrameType)

INSUFFICIENT_SECURITY: Final = bytes([0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 71])
"""A fatal TLS alert: what a plain server says to a TLS client. Source: RFC 8446, section 6.2."""

INTERNAL_ERROR: Final = bytes([0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 80])
"""What a server says to a TLS client that it cannot serve at the moment. Source: RFC 8446, section 6.2."""

_NAME: Final = 16
"""Octets of a foreign client's start that are read: enough to know HTTP and to log the rest."""

_NAME_SECONDS: Final = 0.5
_ANSWER_SECONDS: Final = 1.0

_HTTP_METHODS: Final = (
    b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"TRACE ", b"CONNECT ", b"PRI ",
)  # fmt: skip

_HTTP_TEXT: Final = (
    "This port is an appserver's: it speaks to appserver clients only, not to web browsers. "
    "The web pages of this server, if it has any, are at another port.\n"
)
HTTP_ANSWER: Final = (
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    f"Content-Length: {len(_HTTP_TEXT)}\r\nConnection: close\r\n\r\n{_HTTP_TEXT}"
).encode("ascii")

_REFUSAL_MOST: Final = 16384


def refusal_to_plain_client() -> bytes:
    """The frame that an encrypted server sends to a client that does not encrypt."""
    refuse = Refuse(
        ENCRYPTION_REQUIRED,
        f"This server takes encrypted connections only. Set {SWITCH} = true on this client.",
    )
    return encode_frame(FrameType.REFUSE, 0, 0, refuse.encode())


def answer_to(start: bytes, *, encrypt: bool) -> tuple[type[Mismatch], bytes]:
    """What a client is that began with these octets, and what to send it.

    Args:
        start: at least one octet; not what this server speaks.
        encrypt: whether this server encrypts.
    """
    first = start[0]
    if encrypt and first == FRAME_OCTET:
        return PlainClient, refusal_to_plain_client()
    if not encrypt and first == TLS_OCTET:
        return TlsClient, INSUFFICIENT_SECURITY
    if start.startswith(_HTTP_METHODS):
        return HttpClient, HTTP_ANSWER
    return UnknownClient, b""


def is_ours(start: bytes, *, encrypt: bool) -> bool:
    """Whether a client may speak what this server speaks.

    Args:
        start: its first octets, at least one. The fifth one tells a frame from PostgreSQL's request for TLS,
            which starts with a zero, too, and would wait for an answer.
        encrypt: whether this server encrypts.
    """
    if encrypt:
        return start[0] == TLS_OCTET
    return start[0] == FRAME_OCTET and (len(start) <= _TYPE_AT or start[_TYPE_AT] in _TYPES)


async def examine_client(carrier: Carrier, *, encrypt: bool, timeout: float) -> None:
    """Wait for a client's first octets and make sure that it speaks what this server speaks.

    Nothing is taken from a client that does. Another one is told, and its connection is closed.

    Args:
        carrier: just accepted; closed if this raises.
        encrypt: whether this server encrypts.
        timeout: seconds that the client has for its first octet.

    Raises:
        Mismatch: the client speaks something else.
        HandshakeTimeout: it says nothing.
        TransportError: the connection broke.
    """
    try:
        with trio.fail_after(timeout):
            while (first := carrier.peek_nowait(_TYPE_AT + 1)) is None:
                await carrier.wait_readable()
        if not first:
            raise UnknownClient(carrier.peer_address, "the client went away without a word")
        if is_ours(first, encrypt=encrypt):
            return
        start = await _read_name(carrier, first)
        kind, answer = answer_to(start, encrypt=encrypt)
        if answer:
            carrier.send_nowait(answer)  # the first bytes ever sent there: the kernel takes them all
        await carrier.aclose(_ANSWER_SECONDS)
        raise kind(carrier.peer_address, start=start)
    except trio.TooSlowError:
        carrier.abort()
        raise HandshakeTimeout(carrier.peer_address, "the client said nothing in time") from None
    except BaseException:
        carrier.abort()
        raise


async def _read_name(carrier: Carrier, first: bytes) -> bytes:
    if first[0] in (TLS_OCTET, FRAME_OCTET):
        return first
    start = b""
    with trio.move_on_after(_NAME_SECONDS):
        while len(start) < _NAME and b"\n" not in start:
            data = carrier.receive_nowait(_NAME - len(start))
            if data:
                start += data
            elif data is None:
                await carrier.wait_readable()
            else:
                break
    return start or first


class ServerOpening:
    """The first octets that a client without encryption gets: is this an appserver, and does it talk plain?

    It holds them back only as long as the question is open; afterwards it is in nobody's way.

    Args:
        address: the server's, for the errors.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._held = b""

    def feed(self, data: bytes) -> bytes | None:
        """Take received octets.

        Args:
            data: not trusted; empty at the end of the stream.

        Returns:
            What the caller may have, which ends the examination; None while more must come.

        Raises:
            EncryptionRequired: the server takes encrypted connections only.
            NotAnAppserver: it speaks something else.
        """
        held = self._held = self._held + data
        if not held:
            return held
        if held[0] != FRAME_OCTET:
            raise self._foreign(held)
        if not data or (len(held) > 4 and held[4] != FrameType.REFUSE):
            return held
        if len(held) < HEADER_SIZE:
            return None
        size = HEADER_SIZE + int(HEADER.unpack_from(held)[0])
        if size > _REFUSAL_MOST:
            return held
        if len(held) < size:
            return None
        try:
            refuse = Refuse.decode(held[HEADER_SIZE:size], Limits())
        except RemoteProtocolError:
            return held  # the protocol's own core says what is wrong with it
        if refuse.code == ENCRYPTION_REQUIRED:
            raise EncryptionRequired(self._address)
        return held

    def _foreign(self, held: bytes) -> TransportError:
        if held[0] in (TLS_OCTET, INSUFFICIENT_SECURITY[0]):
            return EncryptionRequired(
                self._address,
                f"the program that listens there speaks TLS, and encryption is off here ({SWITCH})",
            )
        shown = held[:_NAME].decode("latin-1")
        return NotAnAppserver(
            self._address, f"the program that listens there is not an appserver (it said {shown!r})"
        )


def unnamed_protocol(address: str, protocol: str = ALPN) -> TransportError:
    """The server's name for a TLS client that does not ask for our protocol."""
    return UnknownClient(address, f"the TLS client does not name the protocol {protocol}")


def unnamed_server(address: str, protocol: str = ALPN) -> TransportError:
    """The client's name for a TLS server that does not offer our protocol."""
    return NotAnAppserver(
        address, f"the TLS server that listens there does not offer the protocol {protocol}"
    )
