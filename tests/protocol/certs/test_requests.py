"""Keys and certificate requests: what is in them, what is refused, and what is never overwritten."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from protocol.certs import (
    Subject,
    demand_passphrase,
    ensure_server_identity,
    errors,
    make_key_pair,
    open_server_identity,
    write_request,
)
from protocol.certs.keys import load_private_key
from protocol.settings import TlsSettings
from tests.secrecy.canaries import canary

Bytes = Callable[..., bytes]
Fill = Callable[..., Path]

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")


def test_a_key_is_made_in_a_folder_of_its_own(tmp_path: Path) -> None:
    resources = tmp_path / "app" / "Resources"
    made = make_key_pair(resources)
    assert made.file == resources / "key.pem"
    assert (made.waiting, made.encrypted, made.kept) == (False, False, None)
    load_private_key(made.file)
    if sys.platform != "win32":
        assert stat.S_IMODE(made.file.stat().st_mode) == 0o600
        assert stat.S_IMODE(resources.stat().st_mode) == 0o700
    identity = ensure_server_identity(resources)
    assert identity.fingerprint == made.fingerprint, "the next start serves with it until a certificate comes"


def test_rsa_and_a_passphrase_on_request(tmp_path: Path) -> None:
    passphrase = canary("passphrase of a new key").encode()
    made = make_key_pair(tmp_path / "Resources", key_type="rsa3072", passphrase=passphrase)
    assert made.encrypted
    with pytest.raises(errors.PassphraseNeeded):
        load_private_key(made.file)
    key = load_private_key(made.file, passphrase=passphrase)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 3072


@pytest.mark.parametrize("passphrase", [b"", b"x" * 1024])
def test_a_passphrase_that_cannot_encrypt_is_an_error_and_no_open_key(
    tmp_path: Path, passphrase: bytes
) -> None:
    with pytest.raises(errors.PassphraseNeeded, match="1 to 1023 bytes"):
        make_key_pair(tmp_path / "Resources", passphrase=passphrase)
    assert not (tmp_path / "Resources").exists()


def test_a_variable_that_is_named_and_not_set_is_an_error_and_no_open_key(tmp_path: Path) -> None:
    policy = TlsSettings(passphrase_variable="DESK_PASSPHRASE")
    with pytest.raises(errors.PassphraseNeeded, match="DESK_PASSPHRASE"):
        demand_passphrase(policy, tmp_path / "key.pem", environ={})
    assert demand_passphrase(policy, tmp_path / "key.pem", environ={"DESK_PASSPHRASE": "x"}) == b"x"
    assert demand_passphrase(TlsSettings(), tmp_path / "key.pem", environ={}) is None


def test_a_key_that_is_there_is_not_replaced_without_a_word(fill: Fill, key: Bytes) -> None:
    resources = fill(key=key())
    with pytest.raises(errors.ExistingFile, match="--replace"):
        make_key_pair(resources)
    assert (resources / "key.pem").read_bytes() == key()
    made = make_key_pair(resources, replace=True)
    assert made.kept is not None
    assert made.kept.read_bytes() == key()
    assert made.kept.name.startswith("key.pem.")
    assert not made.waiting, "no certificate serves with the old one"


def test_a_waiting_key_is_not_replaced_without_a_word_either(resources: Path) -> None:
    first = make_key_pair(resources, replace=True)
    with pytest.raises(errors.ExistingFile) as caught:
        make_key_pair(resources)
    assert caught.value.file == first.file
    second = make_key_pair(resources, replace=True)
    assert second.kept is not None
    assert second.kept.name.startswith("next-key.pem.")
    assert second.fingerprint != first.fingerprint
    open_server_identity(resources)


SUBJECT = Subject(
    common_name="orders.example",
    organization="Ähren & Söhne, GmbH",
    organizational_unit="IT",
    locality="Köln",
    state="NRW",
    country="de",
)
FIELDS = {
    NameOID.COMMON_NAME: "orders.example",
    NameOID.ORGANIZATION_NAME: "Ähren & Söhne, GmbH",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "IT",
    NameOID.LOCALITY_NAME: "Köln",
    NameOID.STATE_OR_PROVINCE_NAME: "NRW",
    NameOID.COUNTRY_NAME: "DE",
}


@pytest.mark.parametrize("kind", ["own", "rsa", "edwards"])
def test_a_request_has_all_six_fields_and_the_names_and_is_signed_with_the_key(
    fill: Fill, key: Bytes, kind: str
) -> None:
    resources = fill(key=key(kind))
    written = write_request(
        resources, SUBJECT, ["Orders.example", "*.orders.example", "192.0.2.7", "2001:DB8:0::7"]
    )
    assert written.file == resources / "request.pem"
    assert written.pem.encode() == written.file.read_bytes()
    parsed = x509.load_pem_x509_csr(written.pem.encode())
    assert parsed.is_signature_valid
    assert {part.oid: part.value for part in parsed.subject} == FIELDS
    names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["orders.example", "*.orders.example"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == [
        "192.0.2.7",
        "2001:db8::7",
    ]
    assert parsed.public_key() == load_private_key(resources / "key.pem").public_key()


def test_openssl_verifies_a_request(fill: Fill, key: Bytes) -> None:
    written = write_request(fill(key=key()), SUBJECT, ["orders.example"])
    openssl = shutil.which("openssl")
    assert openssl is not None, "this test needs the openssl command"
    command = [openssl, "req", "-in", str(written.file), "-noout", "-verify", "-subject", "-text"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert run.returncode == 0
    assert "verify OK" in run.stderr + run.stdout
    assert "DNS:orders.example" in run.stdout


def test_the_first_name_is_the_common_name_and_a_request_may_be_made_again(fill: Fill, key: Bytes) -> None:
    resources = fill(key=key())
    write_request(resources, Subject(), ["a.example"])
    assert write_request(resources, Subject(), ["b.example", "a.example"]).subject == "CN=b.example"


def test_a_request_is_for_the_waiting_key_where_there_is_one(resources: Path, tmp_path: Path) -> None:
    made = make_key_pair(resources, replace=True)
    written = write_request(resources, Subject(), ["a.example"], file=tmp_path / "a.csr")
    assert written.fingerprint == made.fingerprint
    assert written.key_file == made.file
    assert written.file == tmp_path / "a.csr"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"country": "Germany"}, "country: expected two letters"),
        ({"common_name": "x" * 65}, "common name: expected 1 to 64"),
        ({"organization": ""}, "organization: expected 1 to 64"),
        ({"organizational_unit": "a\nb"}, "organizational unit: expected"),
        ({"locality": "x" * 129}, "locality: expected 1 to 128"),
        ({"state": " "}, "state: expected"),
    ],
)
def test_a_field_that_cannot_stand_in_a_certificate_is_named(fields: dict[str, str], text: str) -> None:
    with pytest.raises(errors.SubjectError, match=text):
        Subject(**fields)


@pytest.mark.parametrize(
    "names", [[], ["not a name"], ["*.10.0.0.1"], ["300.1.1.1"], ["::::"], ["söhne.example"], [""]]
)
def test_names_that_are_none_are_refused(fill: Fill, key: Bytes, names: list[str]) -> None:
    resources = fill(key=key())
    with pytest.raises(errors.SubjectError, match="names: "):
        write_request(resources, Subject(), names)
    assert not (resources / "request.pem").exists()


def test_a_request_without_a_key_names_the_file(fill: Fill) -> None:
    with pytest.raises(errors.MissingFile) as caught:
        write_request(fill(), Subject(), ["a.example"])
    assert caught.value.file.name == "key.pem"


@posix
def test_a_folder_that_cannot_be_written_is_named(fill: Fill, key: Bytes, tmp_path: Path) -> None:
    with pytest.raises(errors.UnwritableFolder):
        write_request(fill(key=key()), Subject(), ["a.example"], file=tmp_path / "none" / "a.csr")
