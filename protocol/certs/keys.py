"""Private keys: reading `key.pem`, its passphrase, and making a new key.

cryptography is imported in the calls: a client that has no key of its own must not pay for it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never

from protocol.certs import errors
from protocol.certs.pem import CREDENTIALS_VARIABLE, read_blocks, read_file
from protocol.settings import TlsSettings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    PrivateKey: TypeAlias = EllipticCurvePrivateKey | RSAPrivateKey | Ed25519PrivateKey | Ed448PrivateKey

KeyType: TypeAlias = Literal["p256", "rsa3072"]

PASSPHRASE_CREDENTIAL = "appserver-key-passphrase"
"""Name of the passphrase's file in systemd's credentials directory."""

MIN_RSA_BITS = 2048
"""Mozilla's intermediate profile and NIST SP 800-57 part 1."""
MIN_CURVE_BITS = 256

_LABELS = {"PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"}


def read_passphrase(policy: TlsSettings, *, environ: Mapping[str, str] | None = None) -> bytes | None:
    """Find the passphrase of `key.pem`, where the settings say and where systemd puts it.

    Args:
        policy: names the file or the environment variable.
        environ: environment variables; None takes the process's own.

    Returns:
        The passphrase, or None where nobody gave one. Do not log it.

    Raises:
        ResourcesError: the file that the settings name cannot be read, or others can read it.
    """
    variables = os.environ if environ is None else environ
    if policy.passphrase_file is not None:
        return _first_line(policy.passphrase_file)
    if policy.passphrase_variable is not None and policy.passphrase_variable in variables:
        return variables[policy.passphrase_variable].encode()
    if credentials := variables.get(CREDENTIALS_VARIABLE):
        credential = Path(credentials) / PASSPHRASE_CREDENTIAL
        if credential.exists():
            return _first_line(credential)
    return None


def demand_passphrase(
    policy: TlsSettings, target: Path, *, environ: Mapping[str, str] | None = None
) -> bytes | None:
    """Find the passphrase that a new key is to be encrypted with, or that a file needs.

    Args:
        policy: as for `read_passphrase`.
        target: what it is for.
        environ: likewise.

    Returns:
        The passphrase, or None where none is named: the key is then not encrypted.

    Raises:
        PassphraseNeeded: a variable is named that is not set. To go on without would leave a key open
            that was meant to be encrypted.
        ResourcesError: as `read_passphrase`.
    """
    found = read_passphrase(policy, environ=environ)
    if found is None and policy.passphrase_variable is not None:
        raise errors.PassphraseNeeded(
            target, f"the variable {policy.passphrase_variable} for its passphrase is not set", "Set it"
        )
    return found


def load_private_key(path: Path, *, passphrase: bytes | None = None) -> PrivateKey:
    """Read a private key: PKCS#8, or OpenSSL's older forms. Never asks anybody for anything.

    Args:
        path: the file; its permissions are checked.
        passphrase: for an encrypted key; ignored where the key is not.

    Returns:
        The key, strong enough to be used.

    Raises:
        ResourcesError: one of its classes, for everything that can be wrong with the file.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    found = [block for block in read_blocks(path, private=True) if block.label != "EC PARAMETERS"]
    keys = [block for block in found if block.label in _LABELS]
    if len(keys) != 1:
        contents = (
            f"it holds {len(keys)} keys" if keys else f"it holds a {found[0].label}" if found else "no key"
        )
        raise errors.WrongContents(
            path, f"one private key is expected, {contents}", "Put the key there, alone"
        )
    (block,) = keys
    if block.encrypted and not passphrase:
        raise errors.PassphraseNeeded(
            path,
            "the key is encrypted and no passphrase was given",
            "Name its file in [tls] passphrase_file, or a variable in [tls] passphrase_variable",
        )
    try:
        key = load_pem_private_key(block.text, passphrase if block.encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # The cause is left out: it is about the key's bytes, and says less than the class does.
        if block.encrypted and not isinstance(error, UnsupportedAlgorithm):
            raise errors.WrongPassphrase(
                path, "the passphrase does not open the key", "Correct the passphrase that [tls] names"
            ) from None
        raise errors.DamagedPem(path, "the private key in it cannot be understood", "Copy it again") from None
    return check_strength(path, key)


def make_private_key(key_type: KeyType) -> PrivateKey:
    """Make a new private key.

    Args:
        key_type: "p256" takes a millisecond, "rsa3072" up to a second.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    match key_type:
        case "p256":
            return ec.generate_private_key(ec.SECP256R1())
        case "rsa3072":
            return rsa.generate_private_key(public_exponent=65537, key_size=3072)
        case _:
            assert_never(key_type)


def encode_private_key(key: PrivateKey, passphrase: bytes | None = None) -> bytes:
    """Write a private key as PKCS#8 PEM; it goes into a file of mode 0600 and nowhere else.

    Args:
        key: the key.
        passphrase: to encrypt it with, 1 to 1023 bytes; None leaves it unencrypted.
    """
    from cryptography.hazmat.primitives import serialization

    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        encryption = serialization.BestAvailableEncryption(passphrase)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def encrypt_private_key(key: PrivateKey) -> tuple[bytes, str]:
    """Write a private key under a random passphrase, to hand it on through a file to OpenSSL.

    Returns:
        The key as PEM, and its passphrase.
    """
    from cryptography.hazmat.primitives import serialization

    passphrase = secrets.token_hex(32)
    encryption = serialization.BestAvailableEncryption(passphrase.encode())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    return pem, passphrase


def weakness(key: object) -> str | None:
    """Say why a private or public key is too weak or unfit to be used; None where it is not."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    match key:
        case rsa.RSAPrivateKey() | rsa.RSAPublicKey():
            return f"an RSA key of {key.key_size} bits is too short" if key.key_size < MIN_RSA_BITS else None
        case ec.EllipticCurvePrivateKey() | ec.EllipticCurvePublicKey():
            if key.curve.key_size < MIN_CURVE_BITS:
                return f"a key on the curve {key.curve.name} is too short"
            return None
        case (
            ed25519.Ed25519PrivateKey()
            | ed25519.Ed25519PublicKey()
            | ed448.Ed448PrivateKey()
            | ed448.Ed448PublicKey()
        ):
            return None
        case _:
            return "the key is of a kind that TLS does not sign with"


def check_strength(path: Path, key: object) -> PrivateKey:
    """Check that a private key is strong enough and of a kind that TLS can use.

    Raises:
        WeakKey: it is not.
    """
    from typing import cast

    if finding := weakness(key):
        raise errors.WeakKey(path, finding, "Make a new key (P-256, or RSA of 3072 bits) and certificate")
    return cast("PrivateKey", key)


def _first_line(path: Path) -> bytes:
    content = read_file(path, private=True)
    return content.removeprefix(b"\xef\xbb\xbf").splitlines()[0]
