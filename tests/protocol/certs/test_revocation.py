"""Every way in which `clients-crl.pem` can be bad, and what the good ones say."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from protocol.certs import (
    REVOCATIONS_FILE,
    Revocations,
    check_server_resources,
    errors,
    is_list_of,
    load_revocation_lists,
    load_revocations,
    open_server_identity,
)
from protocol.certs.errors import ResourcesError
from protocol.certs.pem import encode_pem
from protocol.certs.revocation import authority_id
from tests.protocol.certs.conftest import NOW, Authority
from tests.protocol.certs.lists import revocation_list
from tests.protocol.certs.sha1 import with_sha1
from tests.protocol.certs.test_resources_matrix import Desk, Fault, faults_of_any_file

Bytes = Callable[..., bytes]
DAY = timedelta(days=1)


@pytest.fixture
def desk(resources: Path, key: Bytes, cert: Bytes, ca: Bytes, authorities: dict[str, Authority]) -> Desk:
    (resources / "clients-ca.pem").write_bytes(ca("root"))
    (resources / REVOCATIONS_FILE).write_bytes(revocation_list(authorities["root"], [7]))
    return Desk(resources, key, cert, ca)


def put(desk: Desk, *lists: bytes) -> None:
    desk.put(REVOCATIONS_FILE, b"".join(lists))


@pytest.mark.parametrize(
    "fault",
    [fault for fault in faults_of_any_file(REVOCATIONS_FILE) if fault.error is not errors.MissingFile],
    ids=lambda fault: fault.name,
)
def test_each_fault_of_the_file_has_its_class_and_its_text(desk: Desk, fault: Fault) -> None:
    if fault.name.endswith("huge"):
        desk.put(REVOCATIONS_FILE, b"-" * (1 << 25))
    else:
        fault.make(desk)
    begin = time.monotonic()
    with pytest.raises(ResourcesError) as caught:
        open_server_identity(desk.folder)
    assert time.monotonic() - begin < 2
    assert type(caught.value) is fault.error
    assert caught.value.file == desk.folder / REVOCATIONS_FILE
    assert fault.text in str(caught.value)
    assert caught.value.remedy
    assert fault.error in [type(error) for error in check_server_resources(desk.folder)]


_ALTERNATIVE_NAME = "2.5.29.18"


def _unread(identifier: str, value: str) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(identifier), bytes.fromhex(value))


def _exchanged(pem: bytes, old: str, new: str) -> bytes:
    der = x509.load_pem_x509_crl(pem).public_bytes(Encoding.DER)
    assert bytes.fromhex(old) in der
    return encode_pem("X509 CRL", der.replace(bytes.fromhex(old), bytes.fromhex(new)))


UNUSABLE: dict[str, tuple[Callable[[dict[str, Authority]], bytes], type[ResourcesError], str]] = {
    "a certificate": (lambda a: b"", errors.WrongContents, "it holds a CERTIFICATE"),
    "another key under the name": (
        lambda a: revocation_list(a["namesake"]),
        errors.UntrustedRevocationList,
        '"CN=root" is not signed by the authority of that name',
    ),
    "from the future": (
        lambda a: revocation_list(a["root"], issued=NOW + DAY),
        errors.NotYetValidRevocationList,
        f'"CN=root" is not valid before {NOW + DAY:%Y-%m-%d}',
    ),
    "a delta": (
        lambda a: revocation_list(a["root"], extension=x509.DeltaCRLIndicator(3)),
        errors.PartialRevocationList,
        "a delta list",
    ),
    "for authorities only": (
        lambda a: revocation_list(
            a["root"],
            extension=x509.IssuingDistributionPoint(None, None, False, True, None, False, False),
        ),
        errors.PartialRevocationList,
        "only a part",
    ),
    "with what nobody knows": (
        lambda a: revocation_list(
            a["root"], extension=x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
        ),
        errors.PartialRevocationList,
        "not understood (1.2.3.4)",
    ),
    "with a kind of name that nobody reads": (
        lambda a: revocation_list(a["root"], extension=_unread(_ALTERNATIVE_NAME, "3004a3023000")),
        errors.PartialRevocationList,
        "not understood (x400Address",
    ),
    "signed in a way that nobody knows": (
        lambda a: _exchanged(revocation_list(a["root"]), "06082a8648ce3d040302", "06082a8648ce3d04030a"),
        errors.PartialRevocationList,
        "not understood (Signature algorithm OID",
    ),
    "with an extension twice": (
        lambda a: _exchanged(
            revocation_list(
                a["root"], extension=_unread("1.2.3.4", "0500"), another=_unread("1.2.3.5", "0500")
            ),
            "06032a0305",
            "06032a0304",
        ),
        errors.DamagedPem,
        "a revocation list in it is damaged",
    ),
    "SHA-1": (
        lambda a: _with_sha1(a["rsa"]),
        errors.WeakKey,
        "uses SHA1, which is broken",
    ),
    "a good one and a bad one": (
        lambda a: revocation_list(a["root"]) + revocation_list(a["root"], issued=NOW + DAY),
        errors.NotYetValidRevocationList,
        "not valid before",
    ),
}


def _with_sha1(authority: Authority) -> bytes:
    assert isinstance(authority.key, rsa.RSAPrivateKey)
    return with_sha1(x509.load_pem_x509_crl(revocation_list(authority)), authority.key)


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_list_that_cannot_be_used_is_refused_by_its_own_class(
    desk: Desk, name: str, authorities: dict[str, Authority]
) -> None:
    make, kind, text = UNUSABLE[name]
    put(desk, make(authorities) or desk.ca("root"))
    with pytest.raises(ResourcesError) as caught:
        open_server_identity(desk.folder)
    assert type(caught.value) is kind
    assert text in str(caught.value)
    assert caught.value.file == desk.folder / REVOCATIONS_FILE
    assert caught.value.remedy
    assert [type(error) for error in check_server_resources(desk.folder)] == [kind]


SAID: dict[str, tuple[Callable[[dict[str, Authority]], bytes], type[ResourcesError], str]] = {
    "overdue": (
        lambda a: revocation_list(a["root"], [7], issued=NOW - 2 * DAY, until=NOW - DAY),
        errors.ExpiredRevocationList,
        f'"CN=root" was to be followed by another on {NOW - DAY:%Y-%m-%d}',
    ),
    "of a stranger": (
        lambda a: revocation_list(a["root"], [7]) + revocation_list(a["other"], [8]),
        errors.UntrustedRevocationList,
        '"CN=other" is signed by no authority of clients-ca.pem',
    ),
}


@pytest.mark.parametrize("name", SAID)
def test_what_is_no_reason_to_stop_serving_is_found_all_the_same(
    desk: Desk, name: str, authorities: dict[str, Authority]
) -> None:
    make, kind, text = SAID[name]
    put(desk, make(authorities))
    (finding,) = check_server_resources(desk.folder)
    assert type(finding) is kind
    assert text in str(finding)
    assert finding.remedy
    revocations = open_server_identity(desk.folder).revocations
    assert revocations.is_revoked(authority_id(authorities["root"].certificate), 7), "it counts as before"


def test_no_file_is_fine(desk: Desk) -> None:
    desk.clear(REVOCATIONS_FILE)
    assert check_server_resources(desk.folder) == ()
    assert open_server_identity(desk.folder).revocations == Revocations(desk.folder / REVOCATIONS_FILE)


def test_each_authority_revokes_its_own_certificates_alone(
    desk: Desk, authorities: dict[str, Authority]
) -> None:
    root, other = authorities["root"], authorities["other"]
    desk.put("clients-ca.pem", desk.ca("root") + desk.ca("other"))
    put(desk, revocation_list(root, [1, 2]), revocation_list(other, [3]))
    revocations = open_server_identity(desk.folder).revocations
    own, others = authority_id(root.certificate), authority_id(other.certificate)
    assert [revocations.is_revoked(own, serial) for serial in (1, 2, 3)] == [True, True, False]
    assert [revocations.is_revoked(others, serial) for serial in (1, 2, 3)] == [False, False, True]
    assert "<1 revoked>" in repr(revocations.lists[1])


def test_an_older_list_beside_a_newer_one_adds_to_it_and_is_not_overdue(
    desk: Desk, authorities: dict[str, Authority]
) -> None:
    root = authorities["root"]
    put(
        desk,
        revocation_list(root, [1], issued=NOW - 9 * DAY, until=NOW - 2 * DAY),
        revocation_list(root, [2]),
    )
    assert check_server_resources(desk.folder) == ()
    revocations = open_server_identity(desk.folder).revocations
    identifier = authority_id(root.certificate)
    assert revocations.is_revoked(identifier, 1)
    assert revocations.is_revoked(identifier, 2)
    assert not revocations.is_overdue(identifier, NOW)
    assert revocations.is_overdue(identifier, NOW + 8 * DAY)


def test_an_authority_that_may_not_sign_lists_has_none(desk: Desk, authorities: dict[str, Authority]) -> None:
    root = authorities["root"]
    path = desk.folder / REVOCATIONS_FILE
    (one,) = load_revocation_lists(path)
    assert is_list_of(one, root.certificate)
    usage = x509.KeyUsage(False, False, False, False, False, True, False, False, False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(root.certificate.subject)
        .issuer_name(root.certificate.subject)
        .public_key(root.key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(usage, critical=True)
    )
    without = builder.sign(root.key, hashes.SHA256())
    assert not is_list_of(one, without)
    with pytest.raises(errors.UntrustedRevocationList):
        load_revocations(path, [without], NOW)


def test_crlf_and_a_byte_order_mark_are_fine(desk: Desk) -> None:
    desk.change(REVOCATIONS_FILE, lambda pem: b"\xef\xbb\xbf" + pem.replace(b"\n", b"\r\n"))
    assert check_server_resources(desk.folder) == ()
