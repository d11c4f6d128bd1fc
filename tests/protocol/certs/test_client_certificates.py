"""What a server makes of a client's certificate: its name, and whether it still counts."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocol.certs import ClientChain, Loss, Revocations, UnfitName, load_revocations, read_chain
from protocol.certs.client_certificates import common_name
from protocol.certs.revocation import authority_id
from tests.protocol.certs.conftest import NOW, Authority, PrivateKey
from tests.protocol.certs.lists import revocation_list

DAY = timedelta(days=1)
NONE = Revocations(Path("clients-crl.pem"))


def subject(*names: str, together: bool = False) -> x509.Name:
    parts = [
        x509.NameAttribute(NameOID.COMMON_NAME, name, _type=x509.name._ASN1Type.UTF8String, _validate=False)
        for name in names
    ]
    if together:
        return x509.Name([x509.RelativeDistinguishedName(parts)])
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "desk"), *parts])


@pytest.mark.parametrize(
    "name", ["ada", "Ada Lovelace", "till-7.example", "Åsa Ö", "用户", "a" * 64, "a=b,c+d"]
)
def test_a_name_is_taken_as_it_is(name: str) -> None:
    assert common_name(subject(name)) == name


def test_no_name_and_an_empty_one_are_nobody_in_particular() -> None:
    with pytest.warns(UserWarning, match="length must be"):
        empty = subject("")
    assert common_name(subject()) == common_name(empty) == ""


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["ada", "root"], "2 common names"),
        (["ada", "ada"], "2 common names"),
        (["root\0.example"], "nobody sees"),
        (["ada\n"], "nobody sees"),
        (["ada\x1b[31m"], "nobody sees"),
        (["ad\u200ba"], "nobody sees"),
        (["\u202eada"], "nobody sees"),
        (["ada\u00a0lovelace"], "nobody sees"),
        *((["ada" + unseen], "nobody sees") for unseen in "\u034f\u115f\u1160\u180b\u2800\u3164\ufe0f\uffa0"),
        ([" ada"], "looks like another"),
        (["ada "], "looks like another"),
        ([" "], "looks like another"),
        (["A\u030asa"], "looks like another"),
    ],
)
@pytest.mark.parametrize("together", [False, True], ids=["apart", "in one part"])
def test_what_could_be_mistaken_is_no_name(names: list[str], text: str, together: bool) -> None:
    if together and names == ["ada", "ada"]:
        names = ["ada", "bob"]
    with pytest.raises(UnfitName, match=text):
        common_name(subject(*names, together=together))


def test_a_name_that_is_too_long_is_none() -> None:
    with pytest.warns(UserWarning, match="length must be"):
        long = subject("a" * 65)
    with pytest.raises(UnfitName, match="longer than 64"):
        common_name(long)


@pytest.fixture
def chain(authorities: dict[str, Authority], keys: dict[str, PrivateKey]) -> tuple[x509.Certificate, ...]:
    """A client's certificate by the intermediate authority, which the root has issued."""
    usage = (ExtendedKeyUsageOID.CLIENT_AUTH,)
    leaf = authorities["intermediate"].issue(keys["own"], names=(), usage=usage, subject="ada")
    return leaf, authorities["intermediate"].certificate, authorities["root"].certificate


def read(*certificates: x509.Certificate) -> ClientChain:
    return read_chain(tuple(part.public_bytes(Encoding.DER) for part in certificates))


def test_the_record_says_what_the_certificate_says(chain: tuple[x509.Certificate, ...]) -> None:
    record = read(*chain).certificate
    assert (record.name, record.subject, record.issuer) == ("ada", "CN=ada", "CN=intermediate")
    assert int(record.serial, 16) == chain[0].serial_number
    assert record.not_after == chain[0].not_valid_after_utc
    assert record.fingerprint.startswith("sha256:")


def test_the_first_certificate_of_the_chain_that_ends_ends_it(
    chain: tuple[x509.Certificate, ...], authorities: dict[str, Authority]
) -> None:
    trusted = {authority_id(chain[-1])}
    found = read(*chain)
    ends = min(part.not_valid_after_utc for part in chain)
    assert found.loss(trusted, NONE, ends) is None
    assert found.loss(trusted, NONE, ends + timedelta(seconds=1)) is Loss.EXPIRED
    old = read(chain[0], authorities["old intermediate"].certificate, chain[2])
    assert old.loss(trusted, NONE, NOW) is Loss.EXPIRED


def test_any_authority_of_the_chain_is_enough_and_none_is_too_little(
    chain: tuple[x509.Certificate, ...], authorities: dict[str, Authority]
) -> None:
    found = read(*chain)
    for part in chain[1:]:
        assert found.loss({authority_id(part)}, NONE, NOW) is None
    for name in ("other", "namesake"):
        assert found.loss({authority_id(authorities[name].certificate)}, NONE, NOW) is Loss.UNTRUSTED
    assert found.loss(set(), NONE, NOW) is Loss.UNTRUSTED


def test_an_authority_that_was_renewed_with_its_key_is_the_same(
    chain: tuple[x509.Certificate, ...], authorities: dict[str, Authority]
) -> None:
    root = authorities["root"]
    assert isinstance(root.key, ec.EllipticCurvePrivateKey)
    renewed = (
        x509.CertificateBuilder()
        .subject_name(root.certificate.subject)
        .issuer_name(root.certificate.subject)
        .public_key(root.key.public_key())
        .serial_number(99)
        .not_valid_before(NOW)
        .not_valid_after(NOW + 900 * DAY)
        .sign(root.key, hashes.SHA256())
    )
    assert read(*chain).loss({authority_id(renewed)}, NONE, NOW) is None


@pytest.mark.parametrize("revoked", [0, 1], ids=["the client's", "the authority's between"])
def test_each_certificate_of_the_chain_may_be_revoked_by_its_own_authority(
    chain: tuple[x509.Certificate, ...], authorities: dict[str, Authority], tmp_path: Path, revoked: int
) -> None:
    path = tmp_path / "clients-crl.pem"
    serial = chain[revoked].serial_number
    issuers = [authorities["intermediate"], authorities["root"]]
    trusted = {authority_id(chain[2])}
    path.write_bytes(revocation_list(issuers[revoked], [serial]))
    revocations = load_revocations(path, chain[1:], NOW)
    assert read(*chain).loss(trusted, revocations, NOW) is Loss.REVOKED
    path.write_bytes(revocation_list(issuers[1 - revoked], [serial]))
    others = load_revocations(path, chain[1:], NOW)
    assert read(*chain).loss(trusted, others, NOW) is None


def test_one_overdue_list_on_the_way_is_enough_not_to_know(
    chain: tuple[x509.Certificate, ...], authorities: dict[str, Authority], tmp_path: Path
) -> None:
    path = tmp_path / "clients-crl.pem"
    path.write_bytes(
        revocation_list(authorities["intermediate"]) + revocation_list(authorities["root"], until=NOW + DAY)
    )
    revocations = load_revocations(path, chain[1:], NOW)
    assert not read(*chain).is_overdue(revocations, NOW)
    assert read(*chain).is_overdue(revocations, NOW + 2 * DAY)
    assert not read(chain[0], chain[1]).is_overdue(revocations, NOW + 2 * DAY)
