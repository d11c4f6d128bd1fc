"""Installing what an authority sent: every form that it comes in, and every reason not to."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID

from protocol.certs import (
    errors,
    install_certificates,
    make_key_pair,
    open_server_identity,
)
from protocol.certs.keys import load_private_key
from tests.protocol.certs.conftest import Authority, PrivateKey, pem_of

Bytes = Callable[..., bytes]
Fill = Callable[..., Path]
Authorities = dict[str, Authority]
Keys = dict[str, PrivateKey]

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")


def loaded(*pems: bytes) -> list[x509.Certificate]:
    return [part for pem in pems for part in x509.load_pem_x509_certificates(pem)]


def as_pkcs7(encoding: Encoding, *pems: bytes) -> bytes:
    return pkcs7.serialize_certificates(loaded(*pems), encoding)


def content_of(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.is_file() and not path.name.endswith(".lock")
    }


@attrs.frozen
class Sent:
    """What an authority may send for the key `own`, by way of the intermediate."""

    leaf: bytes
    middle: bytes
    root: bytes


@pytest.fixture
def sent(cert: Bytes, ca: Bytes) -> Sent:
    return Sent(cert(by="intermediate"), ca("intermediate"), ca("root"))


FORMS: dict[str, Callable[[Sent], bytes]] = {
    "leaf first": lambda sent: sent.leaf + sent.middle + sent.root,
    "root first": lambda sent: sent.root + sent.middle + sent.leaf,
    "mixed": lambda sent: sent.middle + sent.leaf + sent.root,
    "twice": lambda sent: (sent.leaf + sent.middle + sent.root) * 2,
    "CRLF": lambda sent: (sent.leaf + sent.middle).replace(b"\n", b"\r\n"),
    "mark": lambda sent: b"\xef\xbb\xbf" + sent.leaf + sent.middle,
    "text around": lambda sent: b"subject=CN = x\n" + sent.leaf + b"\nissuer\n" + sent.middle,
    "PKCS#7 as DER": lambda sent: as_pkcs7(Encoding.DER, sent.root, sent.middle, sent.leaf),
    "PKCS#7 as PEM": lambda sent: as_pkcs7(Encoding.PEM, sent.leaf, sent.middle),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_ends_as_the_same_chain_without_the_root(
    fill: Fill, key: Bytes, sent: Sent, tmp_path: Path, form: Callable[[Sent], bytes]
) -> None:
    resources = fill(key=key())
    (tmp_path / "sent.cer").write_bytes(form(sent))
    installed = install_certificates(resources, [tmp_path / "sent.cer"])
    assert (resources / "cert.pem").read_bytes() == sent.leaf + sent.middle
    assert installed.chain == ("CN=test", "CN=intermediate")
    assert installed.kept == ()
    assert not installed.new_key
    assert len(open_server_identity(resources).chain) == 2


def test_der_and_files_apart_are_put_together(fill: Fill, key: Bytes, sent: Sent, tmp_path: Path) -> None:
    resources = fill(key=key())
    (tmp_path / "leaf.der").write_bytes(loaded(sent.leaf)[0].public_bytes(Encoding.DER))
    (tmp_path / "middle.crt").write_bytes(sent.middle)
    install_certificates(resources, [tmp_path / "middle.crt", tmp_path / "leaf.der"])
    assert (resources / "cert.pem").read_bytes() == sent.leaf + sent.middle


def test_a_renewed_certificate_that_comes_alone_takes_over_the_chain(
    fill: Fill, key: Bytes, cert: Bytes, sent: Sent, tmp_path: Path
) -> None:
    resources = fill(key=key(), cert=sent.leaf + sent.middle)
    renewed = cert(by="intermediate", end=NOW + 300 * DAY)
    (tmp_path / "new.pem").write_bytes(renewed)
    installed = install_certificates(resources, [tmp_path / "new.pem"], now=NOW)
    assert (resources / "cert.pem").read_bytes() == renewed + sent.middle
    assert installed.kept == (resources / f"cert.pem.{NOW:%Y%m%d-%H%M%S}",)
    assert installed.kept[0].read_bytes() == sent.leaf + sent.middle
    assert [note for note in installed.notes if '"CN=root", was not among' in note]


def test_of_two_certificates_for_the_key_the_one_that_holds_longest_counts(
    fill: Fill, key: Bytes, cert: Bytes, tmp_path: Path
) -> None:
    old, new = cert(end=NOW - DAY), cert(end=NOW + 50 * DAY)
    future = cert(begin=NOW + DAY, end=NOW + 400 * DAY)
    (tmp_path / "sent").write_bytes(old + future + new)
    installed = install_certificates(fill(key=key()), [tmp_path / "sent"])
    assert installed.certificate.not_after == NOW + 50 * DAY
    assert len([note for note in installed.notes if "left out" in note]) == 2


def test_what_came_twice_in_one_second_is_kept_twice(
    fill: Fill, key: Bytes, cert: Bytes, tmp_path: Path
) -> None:
    resources = fill(key=key(), cert=cert())
    (tmp_path / "sent").write_bytes(cert())
    first = install_certificates(resources, [tmp_path / "sent"], now=NOW)
    second = install_certificates(resources, [tmp_path / "sent"], now=NOW)
    assert second.kept == (first.kept[0].with_name(f"{first.kept[0].name}-2"),)


def test_a_certificate_that_signed_itself_is_installed_with_a_note(
    fill: Fill, key: Bytes, self_signed: bytes, tmp_path: Path
) -> None:
    (tmp_path / "sent").write_bytes(self_signed)
    assert "signed itself" in install_certificates(fill(key=key()), [tmp_path / "sent"]).notes[0]


@attrs.frozen
class Maker:
    """Makes what is refused."""

    key: Bytes
    cert: Bytes
    ca: Bytes
    authorities: Authorities
    keys: Keys

    def request(self) -> bytes:
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        return builder.sign(self.keys["own"], hashes.SHA256()).public_bytes(Encoding.PEM)

    def without_identifiers(self) -> bytes:
        root = self.authorities["root"]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(root.certificate.subject)
            .public_key(self.keys["own"].public_key())
            .serial_number(7)
            .not_valid_before(NOW - DAY)
            .not_valid_after(NOW + 9 * DAY)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("a.example")]), critical=True)
        )
        return pem_of(builder.sign(root.key, hashes.SHA256())) + self.ca("root")

    def with_usage(self) -> bytes:
        root = self.authorities["root"]
        usage = x509.KeyUsage(False, False, True, False, False, False, False, False, False)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(root.certificate.subject)
            .public_key(self.keys["own"].public_key())
            .serial_number(8)
            .not_valid_before(NOW - DAY)
            .not_valid_after(NOW + 9 * DAY)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("a.example")]), critical=True)
            .add_extension(usage, critical=True)
        )
        return pem_of(builder.sign(root.key, hashes.SHA256()))


Refusal = tuple[Callable[[Maker], bytes], type[errors.ResourcesError], str]
REFUSALS: dict[str, Refusal] = {
    "another key's": (lambda make: make.cert("second"), errors.KeyMismatch, "no certificate in it is for"),
    "expired": (lambda make: make.cert(end=NOW - DAY), errors.ExpiredCertificate, "expired on"),
    "not yet valid": (
        lambda make: make.cert(begin=NOW + DAY),
        errors.NotYetValidCertificate,
        "not valid before",
    ),
    "expired intermediate": (
        lambda make: make.cert(by="intermediate") + make.ca("old intermediate"),
        errors.ExpiredCertificate,
        '"CN=intermediate" expired',
    ),
    "CA:TRUE": (lambda make: make.cert(authority=True), errors.AuthorityCertificate, "CA:TRUE"),
    "client's": (
        lambda make: make.cert(usage=(ExtendedKeyUsageOID.CLIENT_AUTH,)),
        errors.WrongPurpose,
        "extended key usage",
    ),
    "key usage": (Maker.with_usage, errors.WrongPurpose, "without digital signature"),
    "no names": (lambda make: make.cert(names=()), errors.NoNames, "alternative name"),
    "no identifiers": (Maker.without_identifiers, errors.UnusableCertificate, "Missing Authority Key"),
    "CR": (
        lambda make: make.cert().replace(b"\n", b"\r"),
        errors.BareCarriageReturn,
        "lines end in CR alone",
    ),
    "UTF-16": (lambda make: make.cert().decode().encode("utf-16"), errors.Utf16File, "UTF-16"),
    "empty": (lambda make: b"", errors.EmptyFile, "the file is empty"),
    "text": (lambda make: b"Dear customer,\n", errors.DamagedPem, "not PEM"),
    "cut off": (lambda make: make.cert()[:300], errors.DamagedPem, "cut off"),
    "damaged": (lambda make: make.cert().replace(b"\nM", b"\nQ"), errors.DamagedPem, "is damaged"),
    "DER cut off": (
        lambda make: loaded(make.cert())[0].public_bytes(Encoding.DER)[:-20],
        errors.DamagedPem,
        "cut off",
    ),
    "other DER": (lambda make: b"\x30\x03\x02\x01\x05", errors.DamagedPem, "is damaged"),
    "bad PKCS#7": (lambda make: b"\x30\x04\x06\x02\x2a\x03", errors.DamagedPem, "PKCS#7"),
    "a key": (lambda make: make.cert() + make.key(), errors.WrongContents, "holds a private key"),
    "a request": (Maker.request, errors.WrongContents, "certificate request"),
    "PKCS#12": (lambda make: b"\x30\x03\x02\x01\x03", errors.WrongContents, "certificates import"),
    "a CRL": (
        lambda make: b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
        errors.WrongContents,
        "holds a X509 CRL",
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_each_refusal_has_its_class_and_text_and_changes_nothing(
    resources: Path,
    key: Bytes,
    cert: Bytes,
    ca: Bytes,
    authorities: Authorities,
    keys: Keys,
    tmp_path: Path,
    refusal: Refusal,
) -> None:
    make, error, text = refusal
    file = tmp_path / "sent"
    file.write_bytes(make(Maker(key, cert, ca, authorities, keys)))
    before = content_of(resources)
    with pytest.raises(errors.ResourcesError) as caught:
        install_certificates(resources, [file])
    assert type(caught.value) is error
    assert caught.value.file == file
    assert text in str(caught.value)
    assert content_of(resources) == before


def test_a_weak_key_is_refused_where_it_lies(fill: Fill, key: Bytes, cert: Bytes, tmp_path: Path) -> None:
    (tmp_path / "sent").write_bytes(cert("short"))
    with pytest.raises(errors.WeakKey, match="1024 bits"):
        install_certificates(fill(key=key("short")), [tmp_path / "sent"])


def test_without_a_key_there_is_nothing_to_install_for(fill: Fill, cert: Bytes, tmp_path: Path) -> None:
    (tmp_path / "sent").write_bytes(cert())
    with pytest.raises(errors.MissingFile, match=r"of no use without its key.*certificates import"):
        install_certificates(fill(), [tmp_path / "sent"])


def test_a_new_key_waits_while_the_old_pair_serves_and_takes_its_place_with_its_certificate(
    resources: Path, authorities: Authorities, tmp_path: Path
) -> None:
    before = open_server_identity(resources)
    old = content_of(resources)
    made = make_key_pair(resources, replace=True, now=NOW)
    assert made.waiting
    assert made.kept is None
    assert open_server_identity(resources) == before
    key = load_private_key(resources / "next-key.pem")
    (tmp_path / "sent").write_bytes(pem_of(authorities["root"].issue(key)))  # type: ignore[arg-type]
    installed = install_certificates(resources, [tmp_path / "sent"], now=NOW)
    assert installed.new_key
    assert (
        open_server_identity(resources).fingerprint == made.fingerprint == installed.certificate.fingerprint
    )
    stamp = f"{NOW:%Y%m%d-%H%M%S}"
    assert {path.name for path in installed.kept} == {f"cert.pem.{stamp}", f"key.pem.{stamp}"}
    after = content_of(resources)
    assert "next-key.pem" not in after
    assert after[f"cert.pem.{stamp}"] == old["cert.pem"]
    assert after[f"key.pem.{stamp}"] == old["key.pem"]


@posix
def test_no_key_and_no_copy_of_one_is_readable_by_others_even_where_the_old_one_was(
    resources: Path, authorities: Authorities, tmp_path: Path
) -> None:
    make_key_pair(resources, replace=True)
    key = load_private_key(resources / "next-key.pem")
    (tmp_path / "sent").write_bytes(pem_of(authorities["root"].issue(key)))  # type: ignore[arg-type]
    (resources / "cert.pem").chmod(0o666)
    installed = install_certificates(resources, [tmp_path / "sent"])
    modes = {path.name: path.stat().st_mode & 0o777 for path in resources.iterdir()}
    assert {mode for name, mode in modes.items() if "key" in name} == {0o600}
    assert modes["cert.pem"] == 0o644
    assert len(installed.kept) == 2
