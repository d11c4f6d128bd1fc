"""Certificates of every kind for the tests, made once: good ones, and ones with a single fault."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocol.certs import CertificatesError, check_peer_certificate, translate_ssl_error
from protocol.certs.authority import general_name
from tests.protocol.certs.sha1 import with_sha1

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

NOW = datetime.now(UTC).replace(microsecond=0)
NAMES = ("localhost", "127.0.0.1")
SERVER = ExtendedKeyUsageOID.SERVER_AUTH


def pem_of(*certificates: x509.Certificate) -> bytes:
    return b"".join(part.public_bytes(serialization.Encoding.PEM) for part in certificates)


@attrs.frozen
class Authority:
    """An authority that issues whatever a test asks for."""

    key: PrivateKey
    certificate: x509.Certificate

    def issue(
        self,
        key: PrivateKey,
        *,
        names: tuple[str, ...] = NAMES,
        begin: datetime | None = None,
        end: datetime | None = None,
        usage: tuple[x509.ObjectIdentifier, ...] = (SERVER,),
        authority: bool = False,
        subject: str = "test",
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin or NOW - timedelta(days=10))
            .not_valid_after(end or NOW + timedelta(days=100))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
        )
        if authority:
            usages = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usages, critical=True)
        if names:
            subjects = x509.SubjectAlternativeName([general_name(name) for name in names])
            builder = builder.add_extension(subjects, critical=False)
        if usage and not authority:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def _root(name: str, key: PrivateKey | None = None) -> Authority:
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=50))
        .not_valid_after(NOW + timedelta(days=500))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(key, certificate)


@pytest.fixture(scope="session")
def authorities() -> dict[str, Authority]:
    root = _root("root")
    signer = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    old_kind = _root("rsa", signer)
    below = old_kind.issue(signer, names=(), authority=True, subject="hashed")
    hashed = x509.load_pem_x509_certificate(with_sha1(below, signer))
    key = ec.generate_private_key(ec.SECP256R1())
    middle = root.issue(key, names=(), authority=True, subject="intermediate")
    old = root.issue(key, names=(), authority=True, subject="intermediate", end=NOW - timedelta(days=1))
    return {
        "old intermediate": Authority(key, old),
        "root": root,
        "other": _root("other"),
        "namesake": _root("root"),
        "rsa": old_kind,
        "hashed": Authority(signer, hashed),
        "intermediate": Authority(key, middle),
    }


@pytest.fixture(scope="session")
def keys() -> dict[str, PrivateKey]:
    return {
        "own": ec.generate_private_key(ec.SECP256R1()),
        "second": ec.generate_private_key(ec.SECP256R1()),
        "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "short": rsa.generate_private_key(public_exponent=65537, key_size=1024),
        "curve": ec.generate_private_key(ec.SECP224R1()),
        "edwards": ed25519.Ed25519PrivateKey.generate(),
    }


@pytest.fixture(scope="session")
def cert(authorities: dict[str, Authority], keys: dict[str, PrivateKey]) -> Callable[..., bytes]:
    """Issue a certificate as PEM: `cert()`, `cert("second", by="other", names=("a.example",))`."""

    def issue(key: str = "own", *, by: str = "root", sha1: bool = False, **options: Any) -> bytes:
        issued = authorities[by].issue(keys[key], **options)
        if not sha1:
            return pem_of(issued)
        signer = authorities[by].key
        assert isinstance(signer, rsa.RSAPrivateKey)
        return with_sha1(issued, signer)

    return issue


@pytest.fixture(scope="session")
def ca(authorities: dict[str, Authority]) -> Callable[[str], bytes]:
    """Give an authority's certificate as PEM: `ca("root")`."""
    return lambda name: pem_of(authorities[name].certificate)


@pytest.fixture(scope="session")
def key(keys: dict[str, PrivateKey]) -> Callable[..., bytes]:
    """Give a private key as PEM: `key()`, `key("second", passphrase=b"x", old=True)`."""

    def give(name: str = "own", *, passphrase: bytes | None = None, old: bool = False) -> bytes:
        form = serialization.PrivateFormat.TraditionalOpenSSL if old else serialization.PrivateFormat.PKCS8
        encryption = (
            serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        )
        return keys[name].private_bytes(serialization.Encoding.PEM, form, encryption)

    return give


@pytest.fixture
def fill(tmp_path: Path) -> Callable[..., Path]:
    """Write files into a Resources folder, all of them 0600: `fill("Resources", key=b"...")`."""

    def write(folder: str = "Resources", **files: bytes) -> Path:
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        for name, content in files.items():
            file = path / f"{name.replace('_', '-')}.pem"
            file.write_bytes(content)
            file.chmod(0o600)
        return path

    return write


@pytest.fixture
def resources(fill: Callable[..., Path], key: Callable[..., bytes], cert: Callable[..., bytes]) -> Path:
    """A server's Resources folder in which everything is in order."""
    return fill(key=key(), cert=cert())


@pytest.fixture(scope="session")
def shake() -> Callable[..., tuple[ssl.SSLObject, ssl.SSLObject]]:
    """Do handshakes in memory: `client, server = shake(server_context, client_context, "localhost")`."""
    return _shake


def _shake(
    server: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost"
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Do a handshake in memory; the client's error comes first, as a real client would see it.

    The exchange ends with a message each way: TLS 1.3 tells a client of a refusal only then.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    server_error: ssl.SSLError | None = None
    for side, step in [(ours, "do_handshake"), (theirs, "do_handshake")] * 4 + [
        (theirs, "read"),
        (ours, "read"),
    ]:
        try:
            getattr(side, step)()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except ssl.SSLError as error:
            if side is ours:
                raise
            server_error = server_error or error
    if server_error is not None:
        raise server_error
    return ours, theirs


@pytest.fixture(scope="session")
def self_signed(keys: dict[str, PrivateKey]) -> bytes:
    """A certificate that `own` gave itself, as administrators make them: no authority anywhere."""
    key = keys["own"]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "self")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=100))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([general_name(name) for name in NAMES]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return pem_of(certificate)


@pytest.fixture(scope="session")
def fingerprint(keys: dict[str, PrivateKey]) -> str:
    """The fingerprint of the key `own`, computed without the code under test."""
    spki = (
        keys["own"]
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return f"sha256:{hashlib.sha256(spki).hexdigest()}"


@pytest.fixture(scope="session")
def refusal(shake: Callable[..., tuple[ssl.SSLObject, ssl.SSLObject]]) -> Callable[..., CertificatesError]:
    """Give the error that a client which does all that it must reports: `refusal(server, client, pin=...)`."""

    def connect(
        server: ssl.SSLContext, client: ssl.SSLContext, *, name: str = "localhost", pin: str | None = None
    ) -> CertificatesError:
        try:
            ours, _theirs = shake(server, client, name)
            check_peer_certificate(ours.getpeercert(binary_form=True), pin, address=f"{name}:19813")
        except ssl.SSLError as error:
            return translate_ssl_error(error, f"{name}:19813")
        except CertificatesError as error:
            return error
        pytest.fail("the server was accepted")

    return connect
