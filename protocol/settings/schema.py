"""The settings that server and client share: one frozen class for each section of `settings.toml`.

Every setting has a default, so that an empty file is a good file, and every value is checked when a
section is made, whoever makes it. A change of settings is a new object that is swapped in one place.
Sections are handed on one by one: a room gets the section that it needs and not the whole.

It knows no file and no environment (`load` does), and it holds no secret: a passphrase is named here
by the file or variable that holds it.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import attrs

from protocol.settings import checks

KIB = 1024
MIB = 1024 * KIB

DEFAULT_PORT = 19813
"""The port of 4D Server's application server, which administrators' firewalls know."""


@attrs.frozen
class ApplicationSettings:
    """`[application]`: which application this folder is.

    Attributes:
        name: what logs, certificates and clients call it.
        module: where its `Application` object is, as `package.module:attribute`; None where the
            command line says it.
    """

    SECTION: ClassVar[str] = "application"

    name: str = attrs.field(
        default="application",
        validator=checks.text("1 to 64 printable characters", r"[^\x00-\x1f\x7f]{1,64}"),
    )
    module: str | None = attrs.field(
        default=None,
        validator=checks.optional(
            checks.text('"package.module:attribute"', r"[^\W\d]\w*(\.[^\W\d]\w*)*(:[^\W\d]\w*)?")
        ),
    )


@attrs.frozen
class ClientServerSettings:
    """`[client_server]`: the connection between clients and the application server.

    Attributes:
        encrypt: whether the connection is encrypted, always or never: nothing is negotiated, so that
            nobody in between can talk the two sides out of it.
        host: where the server listens: a host name, an IP address, "0.0.0.0" or "::" for everywhere.
            The default is this machine alone: a new application has no accounts yet, so who opens it
            to the network is to be an administrator, and not a default.
        port: TCP port; 0 takes a free one.
        sessions: clients that may be connected at once; one more is refused, and comes back by itself.
    """

    SECTION: ClassVar[str] = "client_server"

    encrypt: bool = attrs.field(default=True, validator=checks.boolean())
    host: str = attrs.field(default="127.0.0.1", validator=checks.host())
    port: int = attrs.field(default=DEFAULT_PORT, validator=checks.integer(0, 65_535))
    sessions: int = attrs.field(default=10_000, validator=checks.integer(1, 1 << 20))


@attrs.frozen
class TlsSettings:
    """`[tls]`: certificates, and what TLS may negotiate. Relative paths start at the settings file.

    Attributes:
        resources: the server's Resources folder; None is `Resources` beside the settings file.
        client_resources: the client's Resources folder; None is the client's own default. It is a
            key of its own because both sides read the same file, and a client that took the server's
            folder would hold the server's private key.
        min_version: oldest TLS version that is accepted.
        ciphers: OpenSSL cipher list for TLS 1.2, or None for the default.
        auto_certificate: whether the server makes a private authority and a certificate where there
            is none, and renews what it made.
        names: host names and IP addresses of the server's own certificate besides those found on the
            machine: what clients outside this network call it.
        key_type: of keys that the server makes.
        passphrase_file: file whose first line is the passphrase of `key.pem`.
        passphrase_variable: environment variable that holds the passphrase of `key.pem`.
    """

    SECTION: ClassVar[str] = "tls"

    resources: Path | None = attrs.field(
        default=None, converter=checks.as_path, validator=checks.optional(checks.path())
    )
    client_resources: Path | None = attrs.field(
        default=None, converter=checks.as_path, validator=checks.optional(checks.path())
    )
    min_version: Literal["1.2", "1.3"] = attrs.field(default="1.2", validator=checks.one_of("1.2", "1.3"))
    ciphers: str | None = attrs.field(
        default=None, validator=checks.optional(checks.text("an OpenSSL cipher list", r"[\x21-\x7e ]+"))
    )
    auto_certificate: bool = attrs.field(default=True, validator=checks.boolean())
    names: tuple[str, ...] = attrs.field(default=(), converter=checks.as_tuple, validator=checks.hosts())
    key_type: Literal["p256", "rsa3072"] = attrs.field(
        default="p256", validator=checks.one_of("p256", "rsa3072")
    )
    passphrase_file: Path | None = attrs.field(
        default=None, converter=checks.as_path, validator=checks.optional(checks.path())
    )
    passphrase_variable: str | None = attrs.field(
        default=None,
        validator=checks.optional(
            checks.text("the name of an environment variable", r"[A-Za-z_][A-Za-z0-9_]*")
        ),
    )


@attrs.frozen
class LimitSettings:
    """`[limits]`: what one connection, one source and the whole server may take. Sizes in bytes.

    Attributes:
        frame: largest payload of one frame.
        message: largest message of one or more frames.
        open_calls: calls, streams and blobs that one client may have open at once.
        subscriptions: event subscriptions that one client may have open at once.
        stream_credit: bytes that may be sent on a new stream before the receiver grants more.
        connection_credit: bound on the sum of all grants of one connection.
        pending_output: unsent bytes after which a client counts as a slow consumer and is dropped.
        event_replay: bytes of the newest events that are kept for each event of an interface, for subscribers
            that come back; 0 keeps none.
        connections_before_authentication: connections that may be in their handshake at once.
        per_source: of those, from one source address.
        worker_threads: threads for handlers that are plain functions.
    """

    SECTION: ClassVar[str] = "limits"

    frame: int = attrs.field(default=64 * KIB, validator=checks.integer(KIB, 16 * MIB - 1))
    message: int = attrs.field(default=4 * MIB, validator=checks.integer(KIB, 1024 * MIB))
    open_calls: int = attrs.field(default=100, validator=checks.integer(1, 1 << 20))
    subscriptions: int = attrs.field(default=1000, validator=checks.integer(0, 1 << 20))
    stream_credit: int = attrs.field(default=64 * KIB, validator=checks.integer(1, 1024 * MIB))
    connection_credit: int = attrs.field(default=4 * MIB, validator=checks.integer(1, 4096 * MIB))
    pending_output: int = attrs.field(default=8 * MIB, validator=checks.integer(64 * KIB, 4096 * MIB))
    event_replay: int = attrs.field(default=MIB, validator=checks.integer(0, 1024 * MIB))
    connections_before_authentication: int = attrs.field(default=256, validator=checks.integer(1, 65_536))
    per_source: int = attrs.field(default=32, validator=checks.integer(1, 65_536))
    worker_threads: int = attrs.field(default=40, validator=checks.integer(1, 4096))


def _seconds(default: float, low: float, high: float) -> float:
    field: float = attrs.field(
        default=default, converter=checks.as_float, validator=checks.seconds(low, high)
    )
    return field


@attrs.frozen
class TimeoutSettings:
    """`[timeouts]`: how long to wait, in seconds.

    Attributes:
        handshake: for TLS to be set up.
        first_frame: for the other side's first frame and for authentication.
        write: for the other side to take any of what is being sent.
        ping: between pings on a silent connection; two unanswered ones end it.
        drain: for open calls to end when the server stops.
        close: for an orderly end of a connection, before it is cut.
        reconnect_first: before a client's first attempt to connect again.
        reconnect_factor: each further pause is this many times the one before (no unit).
        reconnect_most: longest pause between two attempts.
        reconnect_wait: for a call that is made while there is no connection.
    """

    SECTION: ClassVar[str] = "timeouts"

    handshake: float = _seconds(10.0, 0.1, 600.0)
    first_frame: float = _seconds(10.0, 0.1, 600.0)
    write: float = _seconds(10.0, 0.1, 3600.0)
    ping: float = _seconds(30.0, 0.1, 3600.0)
    drain: float = _seconds(30.0, 0.0, 86_400.0)
    close: float = _seconds(2.0, 0.0, 60.0)
    reconnect_first: float = _seconds(1.0, 0.01, 3600.0)
    reconnect_factor: float = attrs.field(
        default=1.6, converter=checks.as_float, validator=checks.number(1.0, 10.0)
    )
    reconnect_most: float = _seconds(120.0, 0.01, 86_400.0)
    reconnect_wait: float = _seconds(30.0, 0.0, 86_400.0)


@attrs.frozen
class LogSettings:
    """`[log]`: what is logged, and in which form.

    Attributes:
        format: "console" for people, "json" for machines: one object a line.
        level: least severe level that is logged.
    """

    SECTION: ClassVar[str] = "log"

    format: Literal["console", "json"] = attrs.field(
        default="console", validator=checks.one_of("console", "json")
    )
    level: Literal["debug", "info", "warning", "error"] = attrs.field(
        default="info", validator=checks.one_of("debug", "info", "warning", "error")
    )


@attrs.frozen
class Settings:
    """All sections of one `settings.toml`.

    Attributes:
        application: which application this is.
        client_server: the connection between clients and server.
        tls: certificates and TLS.
        limits: bounds on what clients may take.
        timeouts: how long to wait for what.
        log: logging.
    """

    application: ApplicationSettings = ApplicationSettings()
    client_server: ClientServerSettings = ClientServerSettings()
    tls: TlsSettings = TlsSettings()
    limits: LimitSettings = LimitSettings()
    timeouts: TimeoutSettings = TimeoutSettings()
    log: LogSettings = LogSettings()
