"""Signatures that rest on SHA-1, which is broken."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from protocol.certs.pem import encode_pem

_RSA_SHA256 = bytes.fromhex("06092a864886f70d01010b")
_RSA_SHA1 = bytes.fromhex("06092a864886f70d010105")


def with_sha1(signed: x509.Certificate | x509.CertificateRevocationList, key: rsa.RSAPrivateKey) -> bytes:
    """Sign anew with SHA-1, which the library does not do; returns PEM.

    Args:
        signed: signed with RSA and SHA-256.
        key: the issuer's.
    """
    if isinstance(signed, x509.Certificate):
        label, content = "CERTIFICATE", signed.tbs_certificate_bytes
    else:
        label, content = "X509 CRL", signed.tbs_certlist_bytes
    content = content.replace(_RSA_SHA256, _RSA_SHA1)
    signature = key.sign(content, PKCS1v15(), hashes.SHA1())
    algorithm = b"\x30\x0d" + _RSA_SHA1 + b"\x05\x00"
    return encode_pem(label, _tagged(0x30, content + algorithm + _tagged(0x03, b"\0" + signature)))


def _tagged(tag: int, content: bytes) -> bytes:
    return bytes([tag, 0x82]) + len(content).to_bytes(2, "big") + content
