"""The policy in force is read from what a context does, and not from what it was made of."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from protocol.certs import (
    ALPN_PROTOCOL,
    ChangedServerKey,
    ServerIdentity,
    ensure_server_identity,
    server_context,
)
from protocol.certs.groups import process_groups, wanted_groups
from protocol.settings import TlsSettings
from protocol.transport.policy import read_policy

limited = set(process_groups()) <= set(wanted_groups()) or hasattr(ssl.SSLContext, "set_groups")


@pytest.fixture
def identity(tmp_path: Path) -> ServerIdentity:
    return ensure_server_identity(tmp_path / "Resources")


def weak_context(identity: ServerIdentity) -> ssl.SSLContext:
    """What Python gives to who sets nothing, and a little less."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.cert_file, identity.key_file)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.options &= ~(ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET)
    return context


def test_our_own_policy_is_as_the_documents_say(identity: ServerIdentity) -> None:
    policy = read_policy(server_context(identity, TlsSettings()), identity)
    assert policy.versions == ("1.2", "1.3")
    assert policy.agreed[:1] == ("1.3",)
    assert policy.groups == (wanted_groups() if limited else ("P-256",))
    assert policy.agreed[2] == policy.groups[0]
    assert policy.agreed[1] in policy.suites
    assert policy.protocol == ALPN_PROTOCOL
    assert set(policy.suites) == {
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_AES_128_GCM_SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
    }
    assert (policy.tickets, policy.renegotiation, policy.compression) == (False, False, False)
    assert not policy.common_names
    assert not policy.client_certificates
    assert policy.key_log is None
    assert set(policy.verify_flags) == {"X509_STRICT", "X509_TRUSTED_FIRST", "X509_PARTIAL_CHAIN"}


def test_a_server_with_an_rsa_key_has_dhe_too(tmp_path: Path) -> None:
    identity = ensure_server_identity(tmp_path / "Resources", key_type="rsa3072")
    policy = read_policy(server_context(identity, TlsSettings(ciphers="DHE+AESGCM")), identity)
    assert policy.suites[3:] == ("DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-AES128-GCM-SHA256")


def test_only_tls_1_3_where_the_settings_say_so(identity: ServerIdentity) -> None:
    policy = read_policy(server_context(identity, TlsSettings(min_version="1.3")), identity)
    assert policy.versions == ("1.3",)
    assert all(suite.startswith("TLS_") for suite in policy.suites)


def test_mutual_tls_is_told_and_hides_nothing(identity: ServerIdentity) -> None:
    open_to_all = read_policy(server_context(identity, TlsSettings()), identity)
    authority = identity.resources / "authority" / "ca.pem"
    (identity.resources / "clients-ca.pem").write_bytes(authority.read_bytes())
    mutual = ensure_server_identity(identity.resources)
    policy = read_policy(server_context(mutual, TlsSettings()), mutual)
    assert policy.client_certificates
    assert (policy.suites, policy.groups, policy.versions) == (
        open_to_all.suites,
        open_to_all.groups,
        open_to_all.versions,
    )


def test_a_weak_context_is_seen_through(identity: ServerIdentity) -> None:
    policy = read_policy(weak_context(identity), identity)
    assert policy.tickets
    assert policy.renegotiation
    assert policy.compression
    assert policy.protocol is None
    assert "ECDHE-ECDSA-AES256-SHA" in policy.suites
    assert limited or {"P-521", "ffdhe2048", "ffdhe8192"} <= set(policy.groups)


def test_old_versions_alone_are_not_called_served(identity: ServerIdentity) -> None:
    context = weak_context(identity)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    policy = read_policy(context, identity)
    assert (policy.versions, policy.groups) == (("1.2",), ())


def test_another_certificate_is_noticed(identity: ServerIdentity, tmp_path: Path) -> None:
    other = ensure_server_identity(tmp_path / "other")
    with pytest.raises(ChangedServerKey):
        read_policy(server_context(other, TlsSettings()), identity)
