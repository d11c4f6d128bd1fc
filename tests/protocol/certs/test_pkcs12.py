"""Importing PKCS#12: key and certificate in one file, with every passphrase that there can be."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from protocol.certs import errors, import_pkcs12, open_server_identity
from tests.protocol.certs.conftest import Authority, PrivateKey
from tests.secrecy.canaries import canary

Bytes = Callable[..., bytes]
Fill = Callable[..., Path]
Pack = Callable[..., Path]

NOW = datetime.now(UTC).replace(microsecond=0)
SECRET = canary("passphrase of a PKCS#12 file").encode()


@pytest.fixture
def pack(authorities: dict[str, Authority], keys: dict[str, PrivateKey], tmp_path: Path) -> Pack:
    """Write a PKCS#12 file with a key, its certificate and its chain."""

    def write(
        key: str | None = "own",
        *,
        of: str | None = None,
        encryption: KeySerializationEncryption | None = None,
        certificate: bool = True,
    ) -> Path:
        issuer = authorities["intermediate"]
        issued = issuer.issue(keys[of or key or "own"]) if certificate else None
        chain: list[x509.Certificate] = [authorities["root"].certificate, issuer.certificate]
        content = pkcs12.serialize_key_and_certificates(
            b"name",
            keys[key] if key else None,
            issued,
            chain,
            encryption or BestAvailableEncryption(SECRET),
        )
        path = tmp_path / "server.p12"
        path.write_bytes(content)
        return path

    return write


LEGACY = (
    PrivateFormat.PKCS12.encryption_builder()
    .kdf_rounds(1000)
    .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
    .hmac_hash(hashes.SHA1())
    .build(SECRET)
)


@pytest.mark.parametrize("encryption", [None, LEGACY], ids=["AES", "triple DES"])
@pytest.mark.parametrize("key", ["own", "rsa"])
def test_key_and_chain_go_into_an_empty_folder(
    tmp_path: Path, pack: Pack, key: str, encryption: KeySerializationEncryption | None
) -> None:
    resources = tmp_path / "Resources"
    installed = import_pkcs12(resources, pack(key, encryption=encryption), file_passphrase=SECRET)
    assert installed.new_key
    assert installed.chain == ("CN=test", "CN=intermediate")
    assert len(open_server_identity(resources).chain) == 2
    assert sorted(path.name for path in resources.iterdir() if path.suffix == ".pem") == [
        "cert.pem",
        "key.pem",
    ]


def test_the_old_pair_is_kept_and_the_key_gets_the_servers_passphrase(resources: Path, pack: Pack) -> None:
    installed = import_pkcs12(
        resources, pack("second"), file_passphrase=SECRET, passphrase=b"the server's", now=NOW
    )
    assert [path.name.partition(".pem.")[0] for path in installed.kept] == ["cert", "key"]
    with pytest.raises(errors.PassphraseNeeded):
        open_server_identity(resources)
    assert open_server_identity(resources, passphrase=b"the server's").subject == "CN=test"


def test_the_key_that_serves_already_is_not_written_again(resources: Path, pack: Pack) -> None:
    before = (resources / "key.pem").stat()
    installed = import_pkcs12(resources, pack(), file_passphrase=SECRET)
    assert not installed.new_key
    assert len(installed.kept) == 1
    assert (resources / "key.pem").stat().st_ino == before.st_ino


def test_a_file_without_a_passphrase_needs_none(fill: Fill, pack: Pack) -> None:
    import_pkcs12(fill(), pack(encryption=NoEncryption()))


def test_a_present_key_that_cannot_be_used_is_no_obstacle(fill: Fill, pack: Pack) -> None:
    resources = fill(key=b"garbage", cert=b"garbage")
    (resources / "key.pem").chmod(0o644)
    installed = import_pkcs12(resources, pack(), file_passphrase=SECRET)
    open_server_identity(resources)
    if sys.platform != "win32":
        kept = [path for path in installed.kept if path.name.startswith("key.pem.")]
        assert [path.stat().st_mode & 0o777 for path in (*kept, resources / "key.pem")] == [0o600, 0o600]


@pytest.mark.parametrize(
    ("make", "passphrase", "error", "text"),
    [
        (lambda pack: pack(), None, errors.PassphraseNeeded, "--passphrase-file"),
        (lambda pack: pack(), b"canary-wrong", errors.WrongPassphrase, "does not open the file"),
        (lambda pack: pack(None), SECRET, errors.WrongContents, "no private key"),
        (lambda pack: pack(certificate=False), SECRET, errors.WrongContents, "no certificate for its key"),
        (lambda pack: pack("short"), SECRET, errors.WeakKey, "1024 bits"),
    ],
    ids=["no passphrase", "wrong passphrase", "no key", "no certificate", "weak"],
)
def test_what_is_wrong_with_it_has_its_own_error_and_changes_nothing(
    resources: Path,
    pack: Pack,
    make: Callable[[Pack], Path],
    passphrase: bytes | None,
    error: type[errors.ResourcesError],
    text: str,
) -> None:
    file = make(pack)
    before = {path.name: path.read_bytes() for path in resources.iterdir()}
    with pytest.raises(errors.ResourcesError) as caught:
        import_pkcs12(resources, file, file_passphrase=passphrase)
    assert type(caught.value) is error
    assert caught.value.file == file
    assert text in str(caught.value)
    assert "canary" not in str(caught.value) + repr(caught.value.__cause__)
    assert {path.name: path.read_bytes() for path in resources.iterdir()} == before


def test_other_formats_are_told_apart(fill: Fill, pack: Pack, cert: Bytes, tmp_path: Path) -> None:
    whole = pack().read_bytes()
    for content, text in (
        (cert(), "certificates install"),
        (x509.load_pem_x509_certificate(cert()).public_bytes(Encoding.DER), "another binary format"),
        (whole[:500], "cut off"),
        (b"\x30", "cut off"),
    ):
        (tmp_path / "sent").write_bytes(content)
        with pytest.raises(errors.ResourcesError, match=text):
            import_pkcs12(fill(), tmp_path / "sent", file_passphrase=SECRET)
