"""Certificates for a server that changes them: pairs of key and certificate of one authority."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import attrs
import trustme
from cryptography import x509

from protocol.certs import spki_fingerprint
from protocol.certs.certificates import encode_certificate
from protocol.settings.atomic import PRIVATE, PUBLIC, create_file, replace_file

NAMES = ("localhost", "127.0.0.1")


@attrs.frozen
class Pair:
    """A key and its certificate, as PEM.

    Attributes:
        der: the certificate.
        fingerprint: of the key.
    """

    key: bytes = attrs.field(repr=False)
    cert: bytes = attrs.field(repr=False)
    der: bytes = attrs.field(repr=False)
    fingerprint: str

    def put(self, resources: Path) -> None:
        """Put both into a server's Resources folder, one after the other, each in one step."""
        put(resources, "key.pem", self.key)
        put(resources, "cert.pem", self.cert)


def put(resources: Path, name: str, content: bytes) -> None:
    """Put one file there in one step."""
    if not create_file(resources / name, content, mode=PRIVATE if name == "key.pem" else PUBLIC):
        replace_file(resources / name, content)


class Issuer:
    """An authority outside the server."""

    def __init__(self) -> None:
        self._authority = trustme.CA()
        self.authority: bytes = self._authority.cert_pem.bytes()

    def pair(self, *, end: datetime | None = None) -> Pair:
        """A new pair."""
        issued = self._authority.issue_cert(*NAMES, not_after=end)
        cert = issued.cert_chain_pems[0].bytes()
        der = encode_certificate(x509.load_pem_x509_certificate(cert))
        return Pair(issued.private_key_pem.bytes(), cert, der, spki_fingerprint(der))

    def client_pair(self) -> Pair:
        """A client's."""
        issued = self._authority.issue_cert("client.example")
        cert = issued.cert_chain_pems[0].bytes()
        der = encode_certificate(x509.load_pem_x509_certificate(cert))
        return Pair(issued.private_key_pem.bytes(), cert, der, spki_fingerprint(der))


def new_folders(folder: Path, issuer: Issuer) -> tuple[Path, Path]:
    """A server's and a client's Resources; the client trusts the issuer."""
    resources, client = folder / "Resources", folder / "client-resources"
    for path in (resources, client):
        path.mkdir(mode=0o700)
    (client / "ca.pem").write_bytes(issuer.authority)
    return resources, client
