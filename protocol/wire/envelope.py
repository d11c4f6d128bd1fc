"""The payload of every frame but DATA: a msgpack array of fixed fields and one optional map.

Unknown keys of the map are ignored, so that a later version may add to it. A body (arguments, a
result, an event) travels inside as raw bytes: one that does not decode fails one call, not the
connection. It knows the form of each payload, and nothing of when it may come.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from protocol.wire.codec import pack, unpack
from protocol.wire.errors import CodecError, ErrorInfo, Executed, GoawayCode, RemoteProtocolError
from protocol.wire.limits import STATED, Limits

PROTOCOL_VERSION = 1
MAX_UNSIGNED = (1 << 64) - 1
"""The largest integer of a fixed field; none is negative."""


def read_fields(name: str, payload: bytes, limits: Limits, *kinds: type | tuple[type, ...]) -> list[Any]:
    """Decode a payload into its fixed fields and its map.

    Args:
        name: the frame's name, for the error.
        payload: untrusted bytes.
        limits: bounds for decoding.
        kinds: the type of each fixed field.

    Returns:
        The fixed fields and, always as last element, the map.

    Raises:
        RemoteProtocolError: the payload has another form.
    """
    try:
        fields = unpack(payload, limits)
    except CodecError as exc:
        raise RemoteProtocolError(f"{name}: {exc}") from exc
    count = len(kinds)
    if type(fields) is not list or not count <= len(fields) <= count + 1:
        raise RemoteProtocolError(f"{name}: expected an array of {count} fields and an optional map")
    for number, (value, kind) in enumerate(zip(fields, kinds, strict=False)):
        if not isinstance(value, kind) or (kind is int and not _is_unsigned(value)):
            raise RemoteProtocolError(f"{name}: field {number} is of type {type(value).__name__}")
    if len(fields) == count:
        fields.append({})
    elif type(fields[count]) is not dict:
        raise RemoteProtocolError(f"{name}: what follows the fixed fields is not a map")
    return fields


def _in_map(name: str, extra: dict[str, Any], key: str, kind: type | tuple[type, ...]) -> Any:
    """A value of the optional map, or None; a wrong type is the sender's fault."""
    value = extra.get(key)
    if value is not None and (not isinstance(value, kind) or (kind is int and not _is_unsigned(value))):
        raise RemoteProtocolError(f"{name}: {key!r} is of type {type(value).__name__}")
    return value


def _is_unsigned(value: object) -> bool:
    """Whether a value is an integer as fixed fields have them; a larger one would not even print."""
    return type(value) is int and 0 <= value <= MAX_UNSIGNED


def _seconds(name: str, extra: dict[str, Any], key: str) -> float | None:
    """A time of the optional map, seconds, or None."""
    value = extra.get(key)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value <= MAX_SECONDS:
        raise RemoteProtocolError(f"{name}: {key!r} is no number of seconds")
    return float(value)


MAX_SECONDS = 1e9


@attrs.frozen
class InterfaceOffer:
    """One interface as HELLO (what the client uses) or WELCOME (what the server has) names it.

    Attributes:
        versions: `(major, minor)` pairs; a client states the one it was written against.
        fingerprint: hash of the interface's description, text.
        description: the description itself as plain values, or None. A server adds it where the
            client named the interface with another fingerprint, so that the client can say what differs.
    """

    versions: tuple[tuple[int, int], ...]
    fingerprint: str
    description: object = None

    def to_plain(self) -> list[object]:
        """The offer as it stands in the payload."""
        plain: list[object] = [[list(version) for version in self.versions], self.fingerprint]
        return plain if self.description is None else [*plain, self.description]

    @classmethod
    def from_plain(cls, name: str, plain: object) -> InterfaceOffer:
        """Read an offer from a decoded payload."""
        match plain:
            case [list(versions), str(fingerprint), *rest] if len(rest) <= 1:
                pairs = []
                for version in versions:
                    match version:
                        case [major, minor] if _is_unsigned(major) and _is_unsigned(minor):
                            pairs.append((major, minor))
                        case _:
                            raise RemoteProtocolError(f"interface {name!r}: a version is [major, minor]")
                return cls(tuple(pairs), fingerprint, rest[0] if rest else None)
        raise RemoteProtocolError(f"interface {name!r}: expected [versions, fingerprint]")


def _offers(frame: str, extra: dict[str, Any]) -> dict[str, InterfaceOffer]:
    plain = _in_map(frame, extra, "interfaces", dict) or {}
    return {name: InterfaceOffer.from_plain(name, offer) for name, offer in plain.items()}


def _stated(limits: Limits) -> dict[str, int]:
    return {name: getattr(limits, name) for name in STATED}


def _read_limits(frame: str, extra: dict[str, Any]) -> Limits:
    """The other side's limits; what it does not state has its default."""
    plain = _in_map(frame, extra, "limits", dict) or {}
    try:
        return Limits(**{name: plain[name] for name in STATED if name in plain})
    except ValueError as exc:
        raise RemoteProtocolError(f"{frame}: {exc}") from exc


def _features(frame: str, extra: dict[str, Any]) -> frozenset[str]:
    return frozenset(item for item in _in_map(frame, extra, "features", list) or [] if type(item) is str)


@attrs.frozen
class Hello:
    """The client's first frame.

    Attributes:
        versions: protocol versions that the client speaks.
        application: name of the application, for the server's lists and logs.
        features: names of optional parts of the protocol that the client has.
        interfaces: the interfaces the client uses.
        limits: what the client accepts.
        credentials: what the application's sign-in takes; never logged.
        resume: `(token, position)` of a former session, or None.
    """

    versions: tuple[int, ...] = (PROTOCOL_VERSION,)
    application: str = ""
    features: frozenset[str] = frozenset()
    interfaces: Mapping[str, InterfaceOffer] = attrs.field(factory=dict)
    limits: Limits = attrs.field(factory=Limits)
    credentials: Mapping[str, object] = attrs.field(factory=dict, repr=False)
    resume: tuple[bytes, int] | None = attrs.field(default=None, repr=False)

    def encode(self) -> bytes:
        """The payload of HELLO."""
        extra: dict[str, object] = {
            "features": sorted(self.features),
            "interfaces": {name: offer.to_plain() for name, offer in self.interfaces.items()},
            "limits": _stated(self.limits),
        }
        if self.credentials:
            extra["credentials"] = dict(self.credentials)
        if self.resume is not None:
            extra["resume"] = list(self.resume)
        return pack([list(self.versions), self.application, extra])

    @classmethod
    def decode(cls, payload: bytes, limits: Limits) -> Hello:
        """Read HELLO from untrusted bytes; raises RemoteProtocolError."""
        versions, application, extra = read_fields("HELLO", payload, limits, list, str)
        if not versions or not all(map(_is_unsigned, versions)):
            raise RemoteProtocolError("HELLO: the versions are a list of integers")
        resume = _in_map("HELLO", extra, "resume", list)
        match resume:
            case None:
                pass
            case [bytes(), position] if _is_unsigned(position):
                pass
            case _:
                raise RemoteProtocolError("HELLO: resume is [token, position]")
        return cls(
            tuple(versions),
            application,
            _features("HELLO", extra),
            _offers("HELLO", extra),
            _read_limits("HELLO", extra),
            _in_map("HELLO", extra, "credentials", dict) or {},
            None if resume is None else (resume[0], resume[1]),
        )


@attrs.frozen
class Welcome:
    """The server's answer to an accepted HELLO.

    Attributes:
        version: the protocol version from now on.
        session: name of the session, for people and logs; it grants nothing.
        token: single-use secret that would resume this session.
        application: the server's application name.
        features: optional parts of the protocol that the server has.
        interfaces: all that it serves.
        limits: what the server accepts.
        time: the server's clock, UTC; for display only.
        resumed: position up to which the former session was received, or None for a new session.
    """

    session: str
    token: bytes = attrs.field(repr=False)
    version: int = PROTOCOL_VERSION
    application: str = ""
    features: frozenset[str] = frozenset()
    interfaces: Mapping[str, InterfaceOffer] = attrs.field(factory=dict)
    limits: Limits = attrs.field(factory=Limits)
    time: datetime | None = None
    resumed: int | None = None

    def encode(self) -> bytes:
        """The payload of WELCOME."""
        extra: dict[str, object] = {
            "application": self.application,
            "features": sorted(self.features),
            "interfaces": {name: offer.to_plain() for name, offer in self.interfaces.items()},
            "limits": _stated(self.limits),
        }
        if self.time is not None:
            extra["time"] = self.time
        if self.resumed is not None:
            extra["resumed"] = self.resumed
        return pack([self.version, self.session, self.token, extra])

    @classmethod
    def decode(cls, payload: bytes, limits: Limits) -> Welcome:
        """Read WELCOME from untrusted bytes; raises RemoteProtocolError."""
        version, session, token, extra = read_fields("WELCOME", payload, limits, int, str, bytes)
        return cls(
            session,
            token,
            version,
            _in_map("WELCOME", extra, "application", str) or "",
            _features("WELCOME", extra),
            _offers("WELCOME", extra),
            _read_limits("WELCOME", extra),
            _in_map("WELCOME", extra, "time", datetime),
            _in_map("WELCOME", extra, "resumed", int),
        )


@attrs.frozen
class Refuse:
    """The server's answer to a HELLO it does not accept; a refused client does not retry by itself.

    Attributes:
        code: stable string, `codes.REFUSE_CODES` or the application's own.
        text: a sentence for the user.
        reference: identifier under which the server logged the refusal, for the administrator.
        retry_after: seconds after which another try makes sense, or None for never by itself.
    """

    code: str
    text: str
    reference: str = ""
    retry_after: float | None = None

    def encode(self) -> bytes:
        """The payload of REFUSE."""
        fields: list[object] = [self.code, self.text, self.reference]
        return pack(fields if self.retry_after is None else [*fields, {"retry_after": self.retry_after}])

    @classmethod
    def decode(cls, payload: bytes, limits: Limits) -> Refuse:
        """Read REFUSE from untrusted bytes; raises RemoteProtocolError."""
        code, text, reference, extra = read_fields("REFUSE", payload, limits, str, str, str)
        return cls(code, text, reference, _seconds("REFUSE", extra, "retry_after"))


@attrs.frozen
class Goaway:
    """The end of a connection, announced.

    Attributes:
        last: the highest stream of the receiver's that was taken; later ones were not executed.
        code: why.
        text: a sentence for people.
        reconnect_after: seconds after which to connect again, or None.
        address: another address to connect to, or None.
    """

    last: int
    code: GoawayCode
    text: str
    reconnect_after: float | None = None
    address: str | None = None

    def encode(self) -> bytes:
        """The payload of GOAWAY."""
        extra: dict[str, object] = {}
        if self.reconnect_after is not None:
            extra["reconnect_after"] = self.reconnect_after
        if self.address is not None:
            extra["address"] = self.address
        return pack([self.last, self.code.value, self.text, extra])

    @classmethod
    def decode(cls, payload: bytes, limits: Limits) -> Goaway:
        """Read GOAWAY from untrusted bytes; raises RemoteProtocolError."""
        last, code, text, extra = read_fields("GOAWAY", payload, limits, int, str, str)
        try:
            known = GoawayCode(code)
        except ValueError:  # a later version's code: the text still says it
            known = GoawayCode.SHUTDOWN
        return cls(
            last,
            known,
            text,
            _seconds("GOAWAY", extra, "reconnect_after"),
            _in_map("GOAWAY", extra, "address", str),
        )


MAX_CAUSES = 100
MAX_CAUSE_DEPTH = 8
"""What is more, or deeper, stays behind: the receiver refuses it."""


def encode_error(error: ErrorInfo) -> bytes:
    """The payload of ERROR."""
    return pack(_error_fields(error, 0))


def _error_fields(error: ErrorInfo, depth: int) -> list[object]:
    extra: dict[str, object] = {}
    if error.data is not None:
        extra["data"] = error.data
    if error.retry_after is not None:
        extra["retry_after"] = error.retry_after
    if error.trace is not None:
        extra["trace"] = error.trace
    if error.causes and depth < MAX_CAUSE_DEPTH:
        extra["causes"] = [_error_fields(cause, depth + 1) for cause in error.causes[:MAX_CAUSES]]
    # An exception's text may hold the surrogates of a file name that is not UTF-8.
    message = error.message.encode("utf-8", "backslashreplace").decode()
    fields: list[object] = [error.code, message, error.executed.value]
    return [*fields, extra] if extra else fields


def decode_error(payload: bytes, limits: Limits) -> ErrorInfo:
    """Read ERROR from untrusted bytes; raises RemoteProtocolError."""
    return _read_error(read_fields("ERROR", payload, limits, str, str, str), 0)


def _read_error(fields: list[Any], depth: int) -> ErrorInfo:
    code, message, executed, extra = fields
    try:
        ran = Executed(executed)
    except ValueError as exc:
        raise RemoteProtocolError(f"ERROR: executed is {executed!r}") from exc
    causes = []
    for cause in _in_map("ERROR", extra, "causes", list) or []:
        match cause:
            case [str(), str(), str()] if depth < MAX_CAUSE_DEPTH:
                causes.append(_read_error([*cause, {}], depth + 1))
            case [str(), str(), str(), dict()] if depth < MAX_CAUSE_DEPTH:
                causes.append(_read_error(cause, depth + 1))
            case _:
                raise RemoteProtocolError("ERROR: a cause has the form of an ERROR")
    return ErrorInfo(
        code,
        message,
        ran,
        _in_map("ERROR", extra, "data", bytes),
        _seconds("ERROR", extra, "retry_after"),
        _in_map("ERROR", extra, "trace", str),
        tuple(causes),
    )
