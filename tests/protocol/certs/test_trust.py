"""What a client trusts: the files of its Resources folder, its pins, and a server's key that strayed there."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from protocol.certs import (
    KnownServer,
    Trust,
    client_resources_folder,
    ensure_server_identity,
    errors,
    forget_server,
    is_named,
    load_trust,
    note_server,
    parse_pin,
    read_known_servers,
    read_passphrase,
    server_resources_folder,
    spki_fingerprint,
)
from protocol.settings import TlsSettings, load_settings

Bytes = Callable[..., bytes]
Fill = Callable[..., Path]

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
PIN = "sha256:" + "ab" * 32
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")


def test_no_folder_is_no_trust_and_a_missing_one_an_error(tmp_path: Path) -> None:
    assert load_trust(None) == Trust()
    with pytest.raises(errors.MissingFolder, match=r"\[tls\] client_resources"):
        load_trust(tmp_path / "none")


def test_an_empty_folder_is_empty_trust(fill: Fill) -> None:
    trust = load_trust(fill("client"))
    assert trust.anchors == ()
    assert trust.identity is None
    assert dict(trust.known_servers) == {}


def test_ca_and_a_lone_certificate_are_anchors_and_each_counts_once(
    fill: Fill, ca: Bytes, cert: Bytes
) -> None:
    trust = load_trust(fill("client", ca=ca("root") + ca("other"), cert=cert() + ca("root")))
    assert len(trust.anchors) == 3
    assert "<3 certificates>" in repr(trust)


def test_with_its_key_a_certificate_is_an_identity_and_no_anchor(
    fill: Fill, key: Bytes, ca: Bytes, cert: Bytes
) -> None:
    folder = fill("client", ca=ca("root"), key=key(), cert=cert(usage=CLIENT, names=(), subject="anna"))
    trust = load_trust(folder)
    assert len(trust.anchors) == 1
    assert trust.identity is not None
    assert trust.identity.subject == "CN=anna"
    assert "private_key" not in repr(trust)


@pytest.mark.parametrize(
    ("files", "error", "file"),
    [
        (lambda k, c, ca: {"ca": b""}, errors.EmptyFile, "ca.pem"),
        (lambda k, c, ca: {"ca": ca("root").replace(b"\n", b"\r")}, errors.BareCarriageReturn, "ca.pem"),
        (lambda k, c, ca: {"ca": k()}, errors.WrongContents, "ca.pem"),
        (lambda k, c, ca: {"cert": c(end=NOW - DAY)}, errors.ExpiredCertificate, "cert.pem"),
        (lambda k, c, ca: {"ca": c(begin=NOW + DAY)}, errors.NotYetValidCertificate, "ca.pem"),
        (lambda k, c, ca: {"key": k()}, errors.MissingFile, "cert.pem"),
        (lambda k, c, ca: {"key": k("second"), "cert": c(usage=CLIENT)}, errors.KeyMismatch, "cert.pem"),
        (lambda k, c, ca: {"key": k("short"), "cert": c("short", usage=CLIENT)}, errors.WeakKey, "key.pem"),
        (
            lambda k, c, ca: {"key": k(passphrase=b"x" * 8), "cert": c(usage=CLIENT)},
            errors.PassphraseNeeded,
            "key.pem",
        ),
        (
            lambda k, c, ca: {"key": k(), "cert": c(usage=CLIENT, end=NOW - DAY)},
            errors.ExpiredCertificate,
            "cert.pem",
        ),
        (lambda k, c, ca: {"key": k(), "cert": c()}, errors.ServerKeyInClientResources, "key.pem"),
        (lambda k, c, ca: {"key": k(), "cert": c(usage=())}, errors.ServerKeyInClientResources, "key.pem"),
    ],
)
def test_each_bad_file_is_an_error_of_its_own(
    fill: Fill,
    key: Bytes,
    cert: Bytes,
    ca: Bytes,
    files: Callable[[Bytes, Bytes, Bytes], dict[str, bytes]],
    error: type[errors.ResourcesError],
    file: str,
) -> None:
    folder = fill("client", **files(key, cert, ca))
    with pytest.raises(errors.ResourcesError) as caught:
        load_trust(folder)
    assert type(caught.value) is error
    assert caught.value.file == folder / file


def test_one_expired_authority_beside_a_good_one_does_no_harm(fill: Fill, ca: Bytes) -> None:
    assert len(load_trust(fill("client", ca=ca("old intermediate") + ca("root"))).anchors) == 2


def test_a_whole_server_folder_copied_to_a_client_is_refused(tmp_path: Path) -> None:
    ensure_server_identity(tmp_path / "Resources")
    with pytest.raises(errors.ServerKeyInClientResources, match="Delete it here") as caught:
        load_trust(tmp_path / "Resources")
    assert caught.value.file == tmp_path / "Resources" / "authority" / "ca-key.pem"


def test_the_key_of_a_pinned_server_is_recognised_without_its_certificate(
    fill: Fill, key: Bytes, fingerprint: str
) -> None:
    folder = fill("client", key=key())
    note_server(folder / "known_servers.toml", "host", 1, pin=fingerprint)
    with pytest.raises(errors.ServerKeyInClientResources):
        load_trust(folder)


def test_the_fingerprint_is_that_of_the_public_key(cert: Bytes, fingerprint: str) -> None:
    assert spki_fingerprint(ssl.PEM_cert_to_DER_cert(cert().decode())) == fingerprint
    with pytest.raises(ValueError, match="asn1"):
        spki_fingerprint(b"x")


@pytest.mark.parametrize(
    "text", [PIN, PIN.upper(), f" {PIN} ", "sha256:" + ":".join(["ab"] * 32), "SHA256:" + "AB" * 32]
)
def test_a_pin_is_read_as_people_write_it(text: str) -> None:
    assert parse_pin(text) == PIN


@pytest.mark.parametrize(
    "text", ["", "sha256:", PIN[:-1], PIN + "0", "sha1:" + "a" * 40, "ab" * 32, PIN.replace("b", "g")]
)
def test_what_is_no_pin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="sha256: and 64 hex digits"):
        parse_pin(text)


def test_servers_are_remembered_found_and_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "known_servers.toml"
    note_server(path, "Host.Example.", 19813, pin=PIN, now=NOW)
    note_server(path, "::1", 5, now=NOW)
    note_server(path, "10.0.0.1", 5, pin=PIN, now=NOW)
    trust = load_trust(tmp_path)
    assert trust.find_server("host.example", 19813) == KnownServer(PIN, NOW)
    assert trust.find_server("::1", 5) == KnownServer(None, NOW)
    assert trust.find_server("host.example", 1) is None
    assert '["host.example:19813"]' in path.read_text()
    assert '["[::1]:5"]' in path.read_text()
    assert forget_server(path, "::1", 5) is True
    assert forget_server(path, "::1", 5) is False
    assert sorted(read_known_servers(path)) == ["10.0.0.1:5", "host.example:19813"]


@posix
def test_known_servers_are_private(tmp_path: Path) -> None:
    path = tmp_path / "known_servers.toml"
    note_server(path, "a", 1, pin=PIN)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "a = 5",
        '["a:1"]\npin = "sha256:00"\nfirst_seen = 2026-01-01T00:00:00Z',
        '["a:1"]\npin = 5\nfirst_seen = 2026-01-01T00:00:00Z',
        f'["a:1"]\npin = "{PIN}"',
        f'["a:1"]\npin = "{PIN}"\nfirst_seen = 2026-01-01T00:00:00',
        f'["a:1"]\npin = "{PIN}"\nfirst_seen = 2026-01-01T00:00:00Z\nencrypted = "no"',
    ],
)
def test_damaged_known_servers_are_never_taken_for_none(fill: Fill, text: str) -> None:
    folder = fill("client")
    (folder / "known_servers.toml").write_text(text)
    with pytest.raises(errors.DamagedKnownServers, match="cannot be understood"):
        load_trust(folder)
    with pytest.raises(errors.DamagedKnownServers):
        note_server(folder / "known_servers.toml", "b", 1, pin=PIN)
    assert (folder / "known_servers.toml").read_text() == text


def test_an_emptied_file_of_known_servers_is_noticed(fill: Fill) -> None:
    folder = fill("client")
    (folder / "known_servers.toml").write_text("")
    with pytest.raises(errors.EmptyFile):
        load_trust(folder)


def test_the_passphrase_comes_from_file_variable_or_credentials(tmp_path: Path) -> None:
    path = tmp_path / "appserver-key-passphrase"
    path.write_bytes(b"from a file\r\nsecond line\n")
    path.chmod(0o600)
    assert read_passphrase(TlsSettings(), environ={}) is None
    assert read_passphrase(TlsSettings(passphrase_file=path), environ={}) == b"from a file"
    assert read_passphrase(TlsSettings(passphrase_variable="PASS"), environ={"PASS": "x"}) == b"x"
    assert read_passphrase(TlsSettings(passphrase_variable="PASS"), environ={}) is None
    assert read_passphrase(TlsSettings(), environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}) == b"from a file"
    assert read_passphrase(TlsSettings(), environ={"CREDENTIALS_DIRECTORY": "/nowhere"}) is None
    with pytest.raises(errors.MissingFile):
        read_passphrase(TlsSettings(passphrase_file=tmp_path / "none"), environ={})


@posix
def test_a_passphrase_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_bytes(b"canary")
    path.chmod(0o644)
    with pytest.raises(errors.KeyReadableByOthers) as caught:
        read_passphrase(TlsSettings(passphrase_file=path), environ={})
    assert "canary" not in str(caught.value)


def test_the_servers_folder_is_argument_then_environment_then_settings_then_default(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("")
    assert server_resources_folder(load_settings(file, environ={})) == tmp_path / "Resources"
    file.write_text('[tls]\nresources = "certs"\n')
    assert server_resources_folder(load_settings(file, environ={})) == tmp_path / "certs"
    overridden = load_settings(file, environ={"APPSERVER_TLS_RESOURCES": str(tmp_path / "env")})
    assert server_resources_folder(overridden) == tmp_path / "env"
    assert server_resources_folder(overridden, tmp_path / "argument") == tmp_path / "argument"


@posix
def test_the_clients_folder_is_never_the_servers(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[tls]\nresources = "Resources"\n')
    (tmp_path / "Resources").mkdir()
    loaded = load_settings(file, environ={})
    home = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)}
    if sys.platform != "darwin":
        assert client_resources_folder(loaded, environ=home) is None
        (tmp_path / "config" / "desk" / "Resources").mkdir(parents=True)
        assert (
            client_resources_folder(environ=home, application="desk")
            == tmp_path / "config" / "desk" / "Resources"
        )
    (tmp_path / "client" / "Resources").mkdir(parents=True)
    assert client_resources_folder(loaded, environ=home) == tmp_path / "client" / "Resources"
    file.write_text('[tls]\nclient_resources = "mine"\n')
    assert client_resources_folder(load_settings(file, environ={}), environ=home) == tmp_path / "mine"
    assert client_resources_folder(loaded, tmp_path / "argument") == tmp_path / "argument"


def test_importing_the_package_is_light() -> None:
    code = "import sys; from protocol.certs import *; print({'cryptography', 'trio', 'tomlkit'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30, env=environment
    )
    assert run.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("host", "held"),
    [
        ("orders.example", True),
        ("ORDERS.example.", True),
        ("a.shop.example", True),
        ("a.b.shop.example", False),
        ("shop.example", False),
        ("10.0.0.1", True),
        ("10.0.0.2", False),
        ("::1", True),
        ("0:0:0:0:0:0:0:1", True),
        ("example", False),
    ],
)
def test_whether_a_host_is_among_a_certificates_names_is_told_for_people(host: str, held: bool) -> None:
    assert is_named(host, ("orders.example", "*.shop.example", "10.0.0.1", "::1", "*.0.0.2")) is held
