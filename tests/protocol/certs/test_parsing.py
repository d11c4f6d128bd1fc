"""Certificates with parts that are not understood are refused where they are taken, by one class of error each."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from protocol.certs import check_peer_certificate, errors, facts_of_der, read_chain, spki_fingerprint
from protocol.certs.bundles import read_certificates
from protocol.certs.certificates import load_certificates
from protocol.certs.parsing import NotUnderstood, parse_certificate
from protocol.certs.pem import encode_pem
from tests.protocol.certs.odd import ODD, self_signed

each_odd = pytest.mark.parametrize("name", ODD)


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@each_odd
@pytest.mark.parametrize("read", [load_certificates, read_certificates])
def test_a_file_with_one_is_refused_and_the_part_is_named(
    key: ec.EllipticCurvePrivateKey, tmp_path: Path, name: str, read: object
) -> None:
    make, text = ODD[name]
    path = tmp_path / "cert.pem"
    path.write_bytes(encode_pem("CERTIFICATE", self_signed(key)) + encode_pem("CERTIFICATE", make(key)))
    assert callable(read)
    with pytest.raises(errors.UnusableCertificate) as caught:
        read(path)
    assert caught.value.file == path
    assert f"a part that is not understood here ({text}" in caught.value.finding
    assert caught.value.remedy


@each_odd
def test_what_the_other_side_shows_is_no_certificate_then(key: ec.EllipticCurvePrivateKey, name: str) -> None:
    make, text = ODD[name]
    der = make(key)
    for read in (parse_certificate, facts_of_der, spki_fingerprint, lambda der: read_chain((der,))):
        with pytest.raises(NotUnderstood, match=text):
            read(der)
    with pytest.raises(errors.UnfitServerCertificate, match="cannot be understood"):
        check_peer_certificate(der, "sha256:" + "0" * 64, address="a:1")


def test_others_are_read(key: ec.EllipticCurvePrivateKey) -> None:
    assert facts_of_der(self_signed(key)).subject == "CN=odd"
    with pytest.raises(ValueError, match="ParseError"):
        parse_certificate(b"nothing")
