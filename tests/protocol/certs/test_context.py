"""The TLS contexts, judged by handshakes in memory and not by their settings."""

from __future__ import annotations

import gc
import os
import ssl
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from protocol.certs import (
    ALPN_PROTOCOL,
    CertificatesError,
    NoCommonCipher,
    PolicyError,
    ServerCertificateNotYetValid,
    ServerIdentity,
    Trust,
    check_peer_certificate,
    client_context,
    ensure_server_identity,
    load_trust,
    open_server_identity,
    server_context,
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
def test_a_good_server_is_accepted_and_the_protocol_is_named(
    shake: Shake, identity: ServerIdentity, trust: Trust, version: ssl.TLSVersion
) -> None:
    client, server = shake(server_context(identity, POLICY), limited(client_context(trust, POLICY), version))
    assert client.version() == f"TLSv{'1.2' if version is ssl.TLSVersion.TLSv1_2 else '1.3'}"
    assert client.selected_alpn_protocol() == server.selected_alpn_protocol() == ALPN_PROTOCOL
    cipher = client.cipher()
    assert cipher is not None
    assert "GCM" in cipher[0] or "POLY1305" in cipher[0]
    assert client.compression() is None


@each_version
@pytest.mark.parametrize("key_type", ["own", "rsa", "edwards"])
def test_every_kind_of_key_works_on_both_versions(
    shake: Shake, fill: Fill, key: Bytes, cert: Bytes, trust: Trust, version: ssl.TLSVersion, key_type: str
) -> None:
    identity = open_server_identity(fill(key=key(key_type), cert=cert(key_type)))
    shake(server_context(identity, POLICY), limited(client_context(trust, POLICY), version))


@each_version
def test_the_files_of_a_first_start_are_trusted_by_a_copy_of_the_certificate(
    shake: Shake, refusal: Refusal, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    identity = ensure_server_identity(tmp_path / "Resources", now=NOW)
    client = tmp_path / "client"
    client.mkdir()
    (client / "cert.pem").write_bytes(identity.cert_file.read_bytes())
    for name in identity.names:
        context = limited(client_context(load_trust(client), POLICY), version)
        shake(server_context(identity, POLICY), context, name)
    renewed = ensure_server_identity(tmp_path / "Resources", now=NOW + timedelta(days=300))
    later = server_context(renewed, POLICY)
    # The renewed certificate is from the future, so only its dates may be the reason.
    assert type(refusal(later, client_context(load_trust(client), POLICY))) is ServerCertificateNotYetValid


@each_version
def test_a_self_signed_certificate_is_its_own_anchor(
    shake: Shake, fill: Fill, key: Bytes, self_signed: bytes, version: ssl.TLSVersion
) -> None:
    identity = open_server_identity(fill(key=key(), cert=self_signed))
    trust = load_trust(fill("client", cert=self_signed))
    shake(server_context(identity, POLICY), limited(client_context(trust, POLICY), version))


@each_version
def test_a_chain_with_an_intermediate_needs_the_root_alone(
    shake: Shake, fill: Fill, key: Bytes, cert: Bytes, ca: Bytes, trust: Trust, version: ssl.TLSVersion
) -> None:
    chain = cert(by="intermediate") + ca("intermediate") + ca("root")
    identity = open_server_identity(fill(key=key(), cert=chain))
    assert len(identity.chain) == 2
    shake(server_context(identity, POLICY), limited(client_context(trust, POLICY), version))


@each_version
def test_nothing_is_resumed(
    shake: Shake, identity: ServerIdentity, trust: Trust, version: ssl.TLSVersion
) -> None:
    server = server_context(identity, POLICY)
    context = limited(client_context(trust, POLICY), version)
    client, _server = shake(server, context)
    assert client.session is None or not client.session.has_ticket
    assert server.num_tickets == 0
    assert server.options & ssl.OP_NO_TICKET


@pytest.mark.parametrize("side", ["server", "client"])
def test_the_options_are_those_that_the_findings_ask_for(
    identity: ServerIdentity, trust: Trust, side: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))
    context = server_context(identity, POLICY) if side == "server" else client_context(trust, POLICY)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_flags == (
        ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_TRUSTED_FIRST
    )
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert not context.hostname_checks_common_name
    assert not context.keylog_filename
    assert side == "server" or (context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED)
    for suite in context.get_ciphers():
        assert suite["aead"], suite
        assert suite["protocol"] == "TLSv1.3" or suite["kea"] in ("kx-ecdhe", "kx-dhe"), suite


@pytest.mark.parametrize(
    ("ciphers", "text"),
    [
        ("ECDHE+AESGCM:ECDHE-RSA-AES265-GCM-SHA384", "no cipher by the name ECDHE-RSA-AES265-GCM-SHA384"),
        ("ECDHE+AESGCM:!MISSPELT:NOSUCH", "MISSPELT, NOSUCH|!MISSPELT, NOSUCH"),
        ("AES256-GCM-SHA384", "AES256-GCM-SHA384, none with forward secrecy"),
        ("ECDHE+AESGCM:aNULL", "would not protect the connection"),
        ("ECDHE+AESGCM:eNULL", "ECDHE-ECDSA-NULL-SHA.* would not protect"),
        ("ECDHE+AESGCM:ECDHE-RSA-NULL-SHA", "ECDHE-RSA-NULL-SHA would not protect"),
        ("ECDHE+AESGCM:ADH-AES256-GCM-SHA384", "ADH-AES256-GCM-SHA384 would not protect"),
        ("ECDHE+AESGCM:AECDH-AES256-SHA", "AECDH-AES256-SHA would not protect"),
        ("ECDHE+AESGCM:ALL", "ADH-AES256-GCM-SHA384.* would not protect"),
        ("ECDHE+AESGCM:EXPORT", "no cipher by the name EXPORT"),
        ("ECDHE+AESGCM:EXP-RC4-MD5", "no cipher by the name EXP-RC4-MD5"),
        ("ECDHE+AESGCM:3DES", "no cipher by the name 3DES|3DES.* would not protect"),
        ("ECDHE+AESGCM:RC4-SHA", "no cipher by the name RC4-SHA|RC4-SHA would not protect"),
        ("ECDHE+AESGCM+NOSUCH:ECDHE+AESGCM", "no cipher by the name ECDHE[+]AESGCM[+]NOSUCH"),
        ("ECDHE+AESGCM:TLS_AES_256_GCM_SHA384", "no cipher by the name TLS_AES_256_GCM_SHA384"),
        ("ECDHE+AESGCM:SUITEB128", "no cipher by the name SUITEB128"),
        ("ECDHE+AESGCM:@SECLEVEL=0", "@SECLEVEL=0 is not accepted"),
        ("ECDHE+AESGCM @SECLEVEL=1", "@SECLEVEL=1 is not accepted"),
        ("@SECLEVEL=2:ECDHE+AESGCM", "@SECLEVEL=2 is not accepted"),
        ("ECDHE+AESGCM:@seclevel=0", "@seclevel=0 is not accepted"),
        ("ECDHE+AESGCM;@SECLEVEL=0", "@SECLEVEL=0 is not accepted"),
        ("ECDHE+AESGCM@SECLEVEL=0", "@SECLEVEL=0 is not accepted"),
        ("ECDHE+AESGCM!NOSUCH", "no cipher by the name ECDHE[+]AESGCM!NOSUCH"),
        (":", "names no cipher"),
        ("!aNULL", "names no cipher"),
    ],
)
def test_a_cipher_list_that_would_weaken_is_refused_with_its_names(
    trust: Trust, ciphers: str, text: str
) -> None:
    with pytest.raises(PolicyError, match=text) as caught:
        client_context(trust, TlsSettings(ciphers=ciphers))
    assert caught.value.key == "tls.ciphers"
    assert str(caught.value).startswith("tls.ciphers: ")


def test_the_key_never_reaches_the_disk_in_the_clear(
    identity: ServerIdentity, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[bytes] = []
    real = ssl.SSLContext.load_cert_chain

    def watch(self: ssl.SSLContext, path: str, *, password: str) -> None:
        seen.append(Path(path).read_bytes())
        if sys.platform != "win32":
            assert Path(path).stat().st_mode & 0o077 == 0 or path.startswith("/proc/")
        real(self, path, password=password)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", watch)
    server_context(identity, POLICY)
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    server_context(identity, POLICY)
    gc.collect()
    assert len(seen) == 2
    assert all(
        b"BEGIN ENCRYPTED PRIVATE KEY" in content and b"BEGIN PRIVATE KEY" not in content for content in seen
    )
    assert not list(tmp_path.glob("appserver-*"))


def test_the_files_may_change_after_they_were_checked(
    shake: Shake, identity: ServerIdentity, trust: Trust, key: Bytes
) -> None:
    identity.key_file.write_bytes(key("second"))
    identity.cert_file.write_bytes(b"half of a")
    client, _server = shake(server_context(identity, POLICY), client_context(trust, POLICY))
    check_peer_certificate(client.getpeercert(binary_form=True), identity.fingerprint, address="x")


@pytest.mark.parametrize("clients_ca", [False, True])
def test_finite_field_groups_of_tls_1_3_are_not_spoken(
    shake: Shake,
    refusal: Refusal,
    fill: Fill,
    key: Bytes,
    cert: Bytes,
    ca: Bytes,
    trust: Trust,
    clients_ca: bool,
) -> None:
    files = {"clients_ca": ca("root")} if clients_ca else {}
    identity = open_server_identity(fill(key=key(), cert=cert(), **files))
    client = client_context(trust, TlsSettings(min_version="1.3"))
    try:
        client.set_ecdh_curve("ffdhe2048")
    except (ValueError, ssl.SSLError):
        pytest.skip("this OpenSSL has no finite-field groups for TLS 1.3")
    lenient = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    lenient.load_cert_chain(identity.cert_file, identity.key_file)
    shake(lenient, client)  # the control: without our options it is spoken
    assert type(refusal(server_context(identity, POLICY), client)) is NoCommonCipher
