"""`join`: a client gets its own certificate for the code of an invitation.

Theory of operation. The code names the server's authority by a fingerprint, and the client has nothing else. So it
first looks at what the server shows, sends nothing, and hangs up: the authority must be among it. Then it connects anew
and verifies by that authority as by any anchor, with OpenSSL, the name included; only after that the secret leaves.
Somebody in between can show the authority's certificate, which is public, and has no certificate of it.

The key is made in the client's folder before anything is sent, and stays there; see `protocol.certs.joining`.
"""

from __future__ import annotations

import contextlib
import ssl
from functools import partial
from pathlib import Path

import trio

from appclient.connecting import Connector
from appclient.errors import (
    ConnectError,
    ExpiredCode,
    JoinInterrupted,
    JoinRefused,
    UnknownCode,
    UsedCode,
)
from appclient.opening import read_settings, run_client
from appclient.trusting import explain_tls_failure
from protocol.certs import (
    InvitationCode,
    Joined,
    Trust,
    UnfitRequest,
    UnknownAuthority,
    WrongAuthority,
    client_context,
    client_resources_folder,
    looking_context,
    spki_fingerprint,
    user_resources_folder,
)
from protocol.certs.joining import discard_key, find_joined, finish_joining, prepare_joining
from protocol.peer import CallError, ConnectionLost
from protocol.peer.enrolment import (
    JOIN_PROTOCOL,
    Admission,
    CodeExpired,
    CodeUnknown,
    CodeUsed,
    Joining,
    JoiningClosed,
    RequestUnfit,
)
from protocol.settings import Settings
from protocol.transport import Address, TlsFailure, Transport
from protocol.transport.connecting import connect_transport

SECONDS = 15.0
"""How long the server may take for its answer."""

_AGAIN = "Give the same command again: the same code gets the same certificate until it expires"
_LATER = "Tell the administrator, then give the same command again: the code still counts"
_NEW = "Ask the administrator for a new invitation"


async def join(
    code: str,
    *,
    resources: Path | str | None = None,
    settings: Settings | Path | str | None = None,
    replace: bool = False,
) -> Joined:
    """Join a server by the code of an invitation, and store `ca.pem`, `cert.pem` and `key.pem`.

    It is always encrypted, whatever `client_server.encrypt` says. Whatever ends it, it may be called again with the
    same code.

    Args:
        code: as the administrator sent it; a secret until it was used.
        resources: the client's Resources folder; where `connect` looks without, and made there where it is missing.
        settings: as for `connect`.
        replace: whether an identity that is there may be replaced; it is kept beside.

    Returns:
        Who this client is now, and what it connects to.

    Raises:
        CodeError: the text is no code, or not a whole one; nothing was sent.
        WrongAuthority: another server answers than the one that the code is from; nothing of the secret was sent.
        JoinRefused: the server refuses; one subclass for each reason.
        JoinInterrupted: it is not known whether the server has entered this client.
        ConnectError: one of its other classes.
        TransportError: the network or TLS failed.
        PeerError: the server is not who it should be.
        ResourcesError: the folder has an identity already, or cannot be used.
    """
    parsed = InvitationCode.parse(code)
    read, loaded = read_settings(settings)
    named = Path(resources) if resources is not None else None
    folder = client_resources_folder(loaded, named) or user_resources_folder()
    find = partial(find_joined, folder, parsed.mark, host=parsed.host, port=parsed.port)
    if (done := await trio.to_thread.run_sync(find)) is not None:
        return done
    prepare = partial(prepare_joining, folder, mark=parsed.mark, replace=replace)
    request = await trio.to_thread.run_sync(prepare)
    address = Address(parsed.host, parsed.port)
    authority = await _find_authority(address, parsed, read)
    try:
        admission = await _ask(address, authority, parsed, request, read)
        _check_authority(address, parsed, admission.authority)
        return await trio.to_thread.run_sync(
            partial(
                finish_joining,
                folder,
                admission.certificate,
                admission.anchors,
                authority=admission.authority,
                host=parsed.host,
                port=parsed.port,
            )
        )
    except RequestUnfit as exc:
        await trio.to_thread.run_sync(discard_key, folder)  # the next one is made with another key
        raise JoinRefused(str(address), str(exc), "Give the same command again") from None
    except UnfitRequest as exc:
        raise JoinRefused(str(address), str(exc), "Look into the server's log") from exc


async def _find_authority(address: Address, code: InvitationCode, settings: Settings) -> bytes:
    """Look at what the server shows, for the authority that the code names; nothing is sent."""
    context = await trio.to_thread.run_sync(looking_context, settings.tls)
    transport = await _connect(address, context, settings)
    chain = transport.security.peer_chain
    with trio.CancelScope(shield=True):
        await transport.aclose(settings.timeouts.close)
    for part in chain:
        with contextlib.suppress(ValueError):
            if spki_fingerprint(part) == code.authority:
                return part
    raise _wrong_authority(address, code)


async def _ask(
    address: Address, authority: bytes, code: InvitationCode, request: bytes, settings: Settings
) -> Admission:
    """Use the code up, on a connection that is verified by the authority."""

    async def open_transport() -> Transport:
        trust = Trust(anchors=(authority,))
        context = await trio.to_thread.run_sync(client_context, trust, settings.tls)
        try:
            return await _connect(address, context, settings)
        except UnknownAuthority as exc:
            raise _wrong_authority(address, code) from exc

    connector = Connector(address, open_transport, settings=settings)
    try:
        async with run_client(connector, settings=settings, interfaces=[Joining]) as client:
            with trio.fail_after(SECONDS):
                return await client.use(Joining).join(code.secret, request)
    except (CodeUnknown, CodeUsed, CodeExpired, JoiningClosed) as exc:
        raise _refusal(address, exc) from None
    except ConnectionLost as exc:
        raise JoinInterrupted(str(address), "the connection was lost while joining", _AGAIN) from exc
    except trio.TooSlowError as exc:
        raise JoinInterrupted(str(address), "the server did not answer in time", _AGAIN) from exc
    except CallError as exc:
        raise JoinRefused(str(address), str(exc), "Look into the server's log") from exc


async def _connect(address: Address, context: ssl.SSLContext, settings: Settings) -> Transport:
    context.set_alpn_protocols([JOIN_PROTOCOL])
    try:
        return await connect_transport(
            address, context=context, timeouts=settings.timeouts, protocol=JOIN_PROTOCOL
        )
    except TlsFailure as exc:
        if exc.alert == "internal_error":
            raise JoinInterrupted(
                str(address),
                "the server takes nobody in at the moment",
                "Try again in a minute; if that does not help, its log says why",
            ) from exc
        raise explain_tls_failure(exc, address) from exc


def _check_authority(address: Address, code: InvitationCode, authority: bytes) -> None:
    try:
        found = spki_fingerprint(authority)
    except ValueError:
        found = ""
    if found != code.authority:
        raise _wrong_authority(address, code)


def _wrong_authority(address: Address, code: InvitationCode) -> WrongAuthority:
    return WrongAuthority(
        str(address),
        "THIS IS NOT THE SERVER THAT THE CODE IS FROM, somebody may be in between: it has nothing of the authority "
        f"{code.authority}. Nothing of the code was sent to it",
        "Ask the administrator whether the server's authority was replaced; only then, for a new code",
    )


def _refusal(address: Address, error: CodeUnknown | CodeUsed | CodeExpired | JoiningClosed) -> ConnectError:
    location = str(address)
    match error:
        case CodeUsed():
            return UsedCode(
                location,
                f"{error}",
                f"If it was not you, tell the administrator: somebody else has joined by it. {_NEW}",
            )
        case CodeExpired():
            return ExpiredCode(location, f"{error}", _NEW)
        case CodeUnknown():
            return UnknownCode(
                location,
                f"{error}: it is of another server, withdrawn, replaced by a newer one, or old",
                _NEW,
            )
        case JoiningClosed():
            return JoinRefused(location, f"{error}", _LATER)
