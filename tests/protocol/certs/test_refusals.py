"""Servers and clients that must be refused: each cause an error of its own, in TLS 1.2 and 1.3."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from protocol.certs import (
    ALPN_PROTOCOL,
    CertificatesError,
    ClientCertificateRefused,
    ClientCertificateRequired,
    ExpiredServerCertificate,
    NoCommonCipher,
    NoCommonVersion,
    PinMismatch,
    ServerCertificateNotYetValid,
    ServerIdentity,
    ServerKeyInClientResources,
    Trust,
    UnfitServerCertificate,
    UnknownAuthority,
    WrongServerName,
    WrongService,
    check_peer_certificate,
    client_context,
    load_trust,
    open_server_identity,
    server_context,
    translate_ssl_error,
)
from protocol.settings import TlsSettings

Bytes = Callable[..., bytes]
Fill = Callable[..., Path]
Refusal = Callable[..., CertificatesError]
Shake = Callable[..., tuple[ssl.SSLObject, ssl.SSLObject]]

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
POLICY = TlsSettings()
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)

each_version = pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])


def limited(context: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    context.maximum_version = version
    return context


@pytest.fixture
def identity(resources: Path) -> ServerIdentity:
    return open_server_identity(resources)


@pytest.fixture
def trust(fill: Fill, ca: Bytes) -> Trust:
    return load_trust(fill("client", ca=ca("root")))


@each_version
@pytest.mark.parametrize(
    ("case", "expected", "text"),
    [
        ("wrong name", WrongServerName, "elsewhere"),
        ("wrong address", WrongServerName, "10.0.0.9"),
        ("wrong authority", UnknownAuthority, "does not trust"),
        ("namesake authority", UnknownAuthority, "does not trust"),
        ("expired", ExpiredServerCertificate, "expired"),
        ("not yet valid", ServerCertificateNotYetValid, "not valid"),
        ("another key than the pin's", PinMismatch, "the pin in the address"),
        ("another key than the pin's and no anchors", PinMismatch, "sha256:00000000"),
        ("expired by pin", ExpiredServerCertificate, "expired on"),
        ("not yet valid by pin", ServerCertificateNotYetValid, "not valid before"),
        ("for clients", UnfitServerCertificate, "not acceptable"),
        ("common name alone", WrongServerName, "localhost"),
    ],
)
def test_each_bad_server_is_an_error_of_its_own(
    refusal: Refusal,
    fill: Fill,
    key: Bytes,
    cert: Bytes,
    ca: Bytes,
    fingerprint: str,
    version: ssl.TLSVersion,
    case: str,
    expected: type[CertificatesError],
    text: str,
) -> None:
    every: dict[str, dict[str, Any]] = {
        "expired": {"end": NOW - DAY},
        "expired by pin": {"end": NOW - DAY},
        "not yet valid": {"begin": NOW + DAY},
        "not yet valid by pin": {"begin": NOW + DAY},
        "for clients": {"usage": CLIENT},
        "common name alone": {"names": (), "subject": "localhost"},
    }
    options = every.get(case, {})
    anchors = {"wrong authority": ca("other"), "namesake authority": ca("namesake")}.get(case, ca("root"))
    name = {"wrong name": "elsewhere", "wrong address": "10.0.0.9"}.get(case, "localhost")
    pin = "sha256:" + "0" * 64 if "pin's" in case else None
    trust = load_trust(fill("client", ca=anchors))
    if "by pin" in case or "no anchors" in case:
        trust, pin = Trust(), pin or fingerprint
    server = bad_server(fill, key(), cert(**options))
    error = refusal(server, limited(client_context(trust, POLICY, pin=pin), version), name=name, pin=pin)
    assert type(error) is expected
    assert text in str(error)
    assert str(error).startswith(f"{name}:19813: ")


def bad_server(fill: Fill, key: bytes, cert: bytes) -> ssl.SSLContext:
    """A server that does not check its own files, as others' servers do not."""
    folder = fill("bad", key=key, cert=cert)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    context.set_alpn_protocols([ALPN_PROTOCOL])
    return context


@each_version
def test_a_pin_alone_names_the_server_and_not_its_name(
    shake: Shake, identity: ServerIdentity, version: ssl.TLSVersion
) -> None:
    context = limited(client_context(Trust(), POLICY, pin=identity.fingerprint), version)
    client, _server = shake(server_context(identity, POLICY), context, "elsewhere")
    check_peer_certificate(client.getpeercert(binary_form=True), identity.fingerprint, address="x")


@each_version
def test_a_pin_beside_anchors_does_not_replace_them(
    shake: Shake, refusal: Refusal, identity: ServerIdentity, trust: Trust, version: ssl.TLSVersion
) -> None:
    context = limited(client_context(trust, POLICY, pin=identity.fingerprint), version)
    server = server_context(identity, POLICY)
    assert type(refusal(server, context, name="elsewhere", pin=identity.fingerprint)) is WrongServerName
    client, _server = shake(server, context)
    check_peer_certificate(client.getpeercert(binary_form=True), identity.fingerprint, address="x")


def test_without_anchors_and_pin_the_systems_authorities_decide(
    refusal: Refusal, identity: ServerIdentity
) -> None:
    error = refusal(server_context(identity, POLICY), client_context(Trust(), POLICY))
    assert type(error) is UnknownAuthority


@each_version
def test_a_server_with_client_authorities_wants_a_certificate_from_them(
    shake: Shake, refusal: Refusal, fill: Fill, key: Bytes, cert: Bytes, ca: Bytes, version: ssl.TLSVersion
) -> None:
    server = server_context(open_server_identity(fill(key=key(), cert=cert(), clients_ca=ca("root"))), POLICY)

    def client(folder: str, **files: bytes) -> ssl.SSLContext:
        return limited(client_context(load_trust(fill(folder, ca=ca("root"), **files)), POLICY), version)

    own = {"key": key("second"), "cert": cert("second", usage=CLIENT, names=())}
    ours, theirs = shake(server, client("good", **own))
    assert theirs.getpeercert()
    assert ours.session_reused is False
    stranger = {"key": key("second"), "cert": cert("second", by="other", usage=CLIENT, names=())}
    error = refusal(server, client("stranger", **stranger))
    assert type(error) is ClientCertificateRefused
    assert "does not trust" in str(error)
    error = refusal(server, client("none"))
    # TLS 1.2 has no alert for this: its servers say "handshake failure".
    assert type(error) is (ClientCertificateRequired if version is ssl.TLSVersion.TLSv1_3 else NoCommonCipher)
    assert "certificate of this client" in str(error)


def test_min_version_holds_on_both_sides(refusal: Refusal, identity: ServerIdentity, trust: Trust) -> None:
    strict = TlsSettings(min_version="1.3")
    old = limited(client_context(trust, POLICY), ssl.TLSVersion.TLSv1_2)
    assert type(refusal(server_context(identity, strict), old)) is NoCommonVersion
    old_server = limited(server_context(identity, POLICY), ssl.TLSVersion.TLSv1_2)
    assert type(refusal(old_server, client_context(trust, strict))) is NoCommonVersion


def test_no_common_cipher_and_no_common_protocol_are_told(
    refusal: Refusal, identity: ServerIdentity, trust: Trust
) -> None:
    server = server_context(identity, TlsSettings(ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"))
    client = client_context(trust, TlsSettings(ciphers="ECDHE-ECDSA-AES256-GCM-SHA384"))
    error = refusal(server, limited(client, ssl.TLSVersion.TLSv1_2))
    assert type(error) is NoCommonCipher
    # What Python's ssl cannot be made to raise without another library on the other side:
    other = ssl.SSLError(1, "[SSL: TLSV1_ALERT_NO_APPLICATION_PROTOCOL] x")
    other.reason = "TLSV1_ALERT_NO_APPLICATION_PROTOCOL"
    assert type(translate_ssl_error(other, "a:1")) is WrongService
    unnamed = ssl.SSLError(1, "[SSL] tlsv1 alert no application protocol (_ssl.c:1006)")
    unnamed.reason = None  # type: ignore[assignment]  # as Python 3.11 has it
    assert type(translate_ssl_error(unnamed, "a:1")) is WrongService
    other.reason = "BAD_PACKET"
    assert "BAD_PACKET" in str(translate_ssl_error(other, "a:1"))


def test_a_server_that_uses_this_clients_own_key_is_noticed(
    shake: Shake, identity: ServerIdentity, fill: Fill, key: Bytes, cert: Bytes, ca: Bytes
) -> None:
    both = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    trust = load_trust(fill("client", ca=ca("root"), key=key(), cert=cert(usage=both)))
    client, _server = shake(server_context(identity, POLICY), client_context(trust, POLICY))
    with pytest.raises(ServerKeyInClientResources):
        trust.check_not_own_key(client.getpeercert(binary_form=True))
