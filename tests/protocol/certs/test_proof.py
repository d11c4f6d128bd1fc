"""A handshake in memory with a new context, before anybody depends on it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from protocol.certs import UnusableCertificate, open_server_identity, prove_server_context, server_context
from protocol.settings import TlsSettings

POLICIES = [TlsSettings(), TlsSettings(min_version="1.3"), TlsSettings(ciphers="ECDHE+AESGCM")]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_good_context_is_proven_and_stays_as_it_was(resources: Path, policy: TlsSettings) -> None:
    identity = open_server_identity(resources)
    context = server_context(identity, policy)
    prove_server_context(context, identity, policy)
    assert context.verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_it_is_proven_with_either_version(resources: Path, version: ssl.TLSVersion) -> None:
    identity = open_server_identity(resources)
    context = server_context(identity, TlsSettings())
    context.minimum_version = context.maximum_version = version
    prove_server_context(context, identity, TlsSettings())


def test_a_context_that_wants_certificates_still_wants_them_afterwards(
    resources: Path, ca: Callable[[str], bytes]
) -> None:
    (resources / "clients-ca.pem").write_bytes(ca("root"))
    identity = open_server_identity(resources)
    context = server_context(identity, TlsSettings())
    prove_server_context(context, identity, TlsSettings())
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_a_context_without_its_certificate_is_refused_by_the_name_of_the_file(resources: Path) -> None:
    identity = open_server_identity(resources)
    context = server_context(identity, TlsSettings())
    empty = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(UnusableCertificate, match="handshake") as caught:
        prove_server_context(empty, identity, TlsSettings())
    assert caught.value.file == resources / "cert.pem"
    other = attrs.evolve(identity, chain=(b"another",))
    with pytest.raises(UnusableCertificate, match="another certificate"):
        prove_server_context(context, other, TlsSettings())
