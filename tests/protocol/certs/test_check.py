"""The check of both Resources folders: everything at once, and in the client's folder every fault by itself."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from protocol.certs import (
    check_client_resources,
    check_resources,
    ensure_server_identity,
    errors,
    load_trust,
    make_key_pair,
)
from protocol.certs.errors import ResourcesError
from tests.protocol.certs.test_resources_matrix import Desk, Fault, faults_of_any_file
from tests.secrecy.canaries import canary

Bytes = Callable[..., bytes]
Fill = Callable[..., Path]

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")

# Of these files a client's folder needs none; only where it has a key, the key needs its certificate.
FAULTS = [
    *(fault for fault in faults_of_any_file("ca.pem") if fault.error is not errors.MissingFile),
    *faults_of_any_file("cert.pem"),
    *(fault for fault in faults_of_any_file("key.pem") if fault.error is not errors.MissingFile),
    Fault("ca.pem: a key", lambda d: d.put("ca.pem", d.key()), "ca.pem", errors.WrongContents, "PRIVATE KEY"),
    Fault(
        "ca.pem: expired",
        lambda d: d.put("ca.pem", d.ca("old intermediate")),
        "ca.pem",
        errors.ExpiredCertificate,
        "expired on",
    ),
    Fault(
        "ca.pem: not yet valid",
        lambda d: d.put("ca.pem", d.cert(begin=NOW + DAY)),
        "ca.pem",
        errors.NotYetValidCertificate,
        "not valid before",
    ),
    Fault(
        "key.pem: another key",
        lambda d: d.put("key.pem", d.key("second")),
        "cert.pem",
        errors.KeyMismatch,
        "is not the key",
    ),
    Fault("key.pem: weak", lambda d: d.put("key.pem", d.key("short")), "key.pem", errors.WeakKey, "1024"),
    Fault(
        "key.pem: encrypted",
        lambda d: d.put("key.pem", d.key(passphrase=canary("passphrase nobody was told").encode())),
        "key.pem",
        errors.PassphraseNeeded,
        "encrypted",
    ),
    Fault(
        "cert.pem: reversed",
        lambda d: d.put("cert.pem", d.ca("intermediate") + d.cert(by="intermediate", usage=CLIENT)),
        "cert.pem",
        errors.WrongChainOrder,
        "number 2",
    ),
    Fault(
        "cert.pem: expired",
        lambda d: d.put("cert.pem", d.cert(usage=CLIENT, end=NOW - DAY)),
        "cert.pem",
        errors.ExpiredCertificate,
        "expired on",
    ),
    Fault(
        "cert.pem: a server's",
        lambda d: d.put("cert.pem", d.cert()),
        "key.pem",
        errors.ServerKeyInClientResources,
        "server's private key",
    ),
    Fault(
        "known_servers.toml: garbage",
        lambda d: d.put("known_servers.toml", b"["),
        "known_servers.toml",
        errors.DamagedKnownServers,
        "cannot be understood",
    ),
]


@pytest.fixture
def client(fill: Fill, key: Bytes, cert: Bytes, ca: Bytes) -> Desk:
    """A client's folder in which everything is in order."""
    folder = fill("client", key=key(), cert=cert(usage=CLIENT, names=(), subject="anna"), ca=ca("root"))
    return Desk(folder, key, cert, ca)


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_each_fault_of_a_clients_folder_is_found_as_a_client_finds_it(client: Desk, fault: Fault) -> None:
    assert check_client_resources(client.folder) == ()
    fault.make(client)
    with pytest.raises(ResourcesError) as caught:
        load_trust(client.folder)
    found = check_client_resources(client.folder)
    assert (type(caught.value), str(caught.value)) in [(type(error), str(error)) for error in found]
    (error,) = [error for error in found if type(error) is fault.error]
    assert error.file == client.folder / fault.file
    assert fault.text in str(error)
    assert "canary" not in "".join(str(error) for error in found)


@posix
def test_a_clients_key_that_others_can_read_is_found(client: Desk) -> None:
    (client.folder / "key.pem").chmod(0o640)
    assert [type(error) for error in check_client_resources(client.folder)] == [errors.KeyReadableByOthers]


def test_everything_in_both_folders_is_found_at_once(client: Desk, tmp_path: Path) -> None:
    server = tmp_path / "server"
    ensure_server_identity(server)
    make_key_pair(server, replace=True)
    assert check_resources(server, client.folder) == ()
    (server / "cert.pem").write_bytes(b"")
    (server / "next-key.pem").write_bytes(b"x")
    (server / "authority" / "ca.pem").write_bytes(client.ca("root"))
    (server / "clients-ca.pem").write_bytes(b"x")
    client.put("ca.pem", b"")
    client.put("cert.pem", b"x")
    client.put("known_servers.toml", b"[")
    (client.folder / "authority").mkdir()
    (client.folder / "authority" / "ca-key.pem").write_bytes(b"x")
    found = [
        (str(error.file.relative_to(tmp_path)), type(error))
        for error in check_resources(server, client.folder)
    ]
    assert found == [
        ("server/cert.pem", errors.EmptyFile),
        ("server/clients-ca.pem", errors.DamagedPem),
        ("server/next-key.pem", errors.DamagedPem),
        ("server/authority/ca.pem", errors.KeyMismatch),
        ("client/known_servers.toml", errors.DamagedKnownServers),
        ("client/authority/ca-key.pem", errors.ServerKeyInClientResources),
        ("client/ca.pem", errors.EmptyFile),
        ("client/cert.pem", errors.DamagedPem),
    ]


@posix
def test_an_authoritys_key_that_others_can_read_is_found(tmp_path: Path) -> None:
    server = tmp_path / "server"
    ensure_server_identity(server)
    (server / "authority" / "ca-key.pem").chmod(0o644)
    (error,) = check_resources(server, None)
    assert type(error) is errors.KeyReadableByOthers
    assert error.file.name == "ca-key.pem"


def test_what_a_start_makes_may_be_missing_where_it_does(tmp_path: Path) -> None:
    assert check_resources(tmp_path / "none", None, makes_missing=True) == ()
    (error,) = check_resources(tmp_path / "none", None)
    assert type(error) is errors.MissingFolder
    (tmp_path / "Resources").mkdir()
    assert check_resources(tmp_path / "Resources", None, makes_missing=True) == ()
    assert len(check_resources(tmp_path / "Resources", None)) == 2
    (tmp_path / "Resources" / "cert.pem").write_bytes(b"x")
    assert len(check_resources(tmp_path / "Resources", None, makes_missing=True)) == 2
