"""What can be wrong with certificates: one class for each cause, each with what to do about it.

Three families. `ResourcesError`: a file of a Resources folder. `PeerError`: a TLS handshake, or what
the other side showed in it. `PolicyError`: the settings ask for what TLS cannot or must not do.

No text here ever holds a key, a passphrase or any part of one.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

REMOVE_ENTRY = "remove its entry from known_servers.toml"
"""What to do about a pin that holds no longer, where nobody can say it more exactly."""


class CertificatesError(Exception):
    """The base of all errors of this package."""


class PolicyError(CertificatesError):
    """A setting of `[tls]` names something that does not exist or would weaken the connection.

    Attributes:
        key: the setting.
        finding: what is wrong.
    """

    def __init__(self, key: str, finding: str) -> None:
        super().__init__(f"{key}: {finding}")
        self.key = key
        self.finding = finding


class SubjectError(CertificatesError):
    """What a certificate request should say cannot stand in a certificate.

    Attributes:
        field: which part of it, as the command line calls it.
        finding: what is wrong.
    """

    def __init__(self, field: str, finding: str) -> None:
        super().__init__(f"{field}: {finding}")
        self.field = field
        self.finding = finding


class ResourcesError(CertificatesError):
    """A file or folder of Resources cannot be used.

    Attributes:
        file: the file or folder.
        finding: what is wrong with it, as the end of a sentence that begins with the file.
        remedy: what to do, as a sentence without a full stop.
    """

    def __init__(self, file: Path, finding: str, remedy: str) -> None:
        super().__init__(f"{file}: {finding}. {remedy}")
        self.file = file
        self.finding = finding
        self.remedy = remedy


class MissingFolder(ResourcesError):
    """There is no such Resources folder."""


class MissingFile(ResourcesError):
    """A file that is needed does not exist."""


class BrokenLink(ResourcesError):
    """A symbolic link leads nowhere, or in a circle."""


class UnreadableFile(ResourcesError):
    """The process has no right to read the file, or the disk cannot give it."""


class UnwritableFolder(ResourcesError):
    """The process cannot make the files of a first start."""


class NotAFile(ResourcesError):
    """A folder, a device or a pipe stands where a file should."""


class EmptyFile(ResourcesError):
    """The file has no content."""


class DerFile(ResourcesError):
    """The file is binary (DER, PKCS#7 or PKCS#12), and PEM is needed."""


class Utf16File(ResourcesError):
    """The file is text in UTF-16, as some Windows editors save it."""


class BareCarriageReturn(ResourcesError):
    """The file's lines end in CR alone, which no TLS library reads."""


class DamagedPem(ResourcesError):
    """The file is not PEM, is cut off, or its content is not what its label says."""


class WrongContents(ResourcesError):
    """The file is sound, but is something else than its name says: a certificate in `key.pem`."""


class KeyReadableByOthers(ResourcesError):
    """A file with a secret can be read by other users of the machine."""


class PassphraseNeeded(ResourcesError):
    """The private key is encrypted, and nobody gave its passphrase."""


class WrongPassphrase(ResourcesError):
    """The passphrase does not open the private key."""


class WeakKey(ResourcesError):
    """A key is too short, or a signature is of a broken kind."""


class KeyMismatch(ResourcesError):
    """The private key does not belong to the certificate."""


class WrongChainOrder(ResourcesError):
    """The certificates of a chain are in the wrong order, or do not belong together."""


class ExpiredCertificate(ResourcesError):
    """A certificate's time is over."""


class NotYetValidCertificate(ResourcesError):
    """A certificate's time has not begun, or the clock of this machine is wrong."""


class NoNames(ResourcesError):
    """The server's certificate names no host (no subject alternative name)."""


class AuthorityCertificate(ResourcesError):
    """What should be a server's certificate is one of an authority (CA:TRUE)."""


class NotIssuedHere(ResourcesError):
    """The certificate is not of this server's own authority, which therefore cannot renew it."""


class ExistingFile(ResourcesError):
    """A file is there already, and nobody said that another may take its place."""


class WrongPurpose(ResourcesError):
    """The certificate was issued for another use."""


class UntrustedRevocationList(ResourcesError):
    """A revocation list is signed by no authority of `clients-ca.pem`."""


class ExpiredRevocationList(ResourcesError):
    """A revocation list should have been followed by another one: nobody knows who was revoked since."""


class NotYetValidRevocationList(ResourcesError):
    """A revocation list is from the future, or the clock of this machine is wrong."""


class PartialRevocationList(ResourcesError):
    """A revocation list does not say all: a delta list, or one for some certificates only."""


class ShortDhParameters(ResourcesError):
    """The prime of `dhparams.pem` is too short."""


class UnsafeDhParameters(ResourcesError):
    """The numbers of `dhparams.pem` make no group that may be used."""


class UnusableCertificate(ResourcesError):
    """TLS refuses the files for a reason that has no class of its own."""


class ServerKeyInClientResources(ResourcesError):
    """A client holds the server's private key."""


class DamagedKnownServers(ResourcesError):
    """`known_servers.toml` cannot be understood."""


class UnwritableKnownServers(ResourcesError):
    """A server that was accepted cannot be written into `known_servers.toml`."""


class PeerError(CertificatesError):
    """A TLS handshake failed, or the other side is not who it should be.

    Attributes:
        address: the other side, as the user names it.
        cause: what happened.
        next_step: the next step, as a sentence without a full stop.
    """

    def __init__(self, address: str, cause: str, next_step: str) -> None:
        super().__init__(f"{address}: {cause}. {next_step}")
        self.address = address
        self.cause = cause
        self.next_step = next_step


class WrongServerName(PeerError):
    """The server's certificate is for other names than the one that was asked for."""


class UnknownAuthority(PeerError):
    """The server's certificate comes from an authority that this client does not trust."""


class ExpiredServerCertificate(PeerError):
    """The server's certificate, or one of its authorities', has ended."""


class ServerCertificateNotYetValid(PeerError):
    """The server's certificate is from the future, or this machine's clock is wrong."""


class RevokedServerCertificate(PeerError):
    """The server's certificate was revoked."""


class UnfitServerCertificate(PeerError):
    """The server's certificate breaks a rule of RFC 5280, is weak, or is for another use."""


class ChangedServerKey(PeerError):
    """The server's key is not the one that it had: an impostor, or a new key that nobody announced.

    Attributes:
        expected: fingerprint that is pinned.
        found: fingerprint that the server showed.
        first_seen: since when this client knows the server by the pinned one; None where it does not say.
    """

    def __init__(
        self,
        address: str,
        expected: str,
        found: str,
        *,
        first_seen: datetime | None = None,
        reset: str = REMOVE_ENTRY,
    ) -> None:
        since = "" if first_seen is None else f" since {first_seen:%Y-%m-%d %H:%M} UTC"
        super().__init__(
            address,
            "THE SERVER'S KEY HAS CHANGED, somebody may be reading along: this client knows it "
            f"by {expected}{since}, and it showed {found}",
            "Ask the server's administrator for the present fingerprint by another way; only if it is "
            f"the second one, {reset} and trust the server anew",
        )
        self.expected = expected
        self.found = found
        self.first_seen = first_seen


class PinMismatch(ChangedServerKey):
    """The server's key is not the one that an address or a person names."""

    def __init__(
        self, address: str, expected: str, found: str, named_by: str = "the pin in the address"
    ) -> None:
        PeerError.__init__(
            self,
            address,
            f"the server's key is not the one of {named_by}, somebody may be reading along: "
            f"expected {expected}, the server showed {found}",
            "Compare with what the server printed at its start; if its key was changed on purpose, ask "
            "the administrator for the present address by another way",
        )
        self.expected = expected
        self.found = found
        self.first_seen = None


class ClientCertificateRequired(PeerError):
    """The server wants a certificate of this client, and it showed none."""


class ClientCertificateRefused(PeerError):
    """The server refused this client's certificate."""


class NoCommonVersion(PeerError):
    """The two sides have no TLS version in common."""


class NoCommonCipher(PeerError):
    """The two sides have no cipher or key exchange in common."""


class WrongService(PeerError):
    """The other side speaks TLS, but is not this kind of server."""


class HandshakeFailed(PeerError):
    """The handshake failed for a reason that has no class of its own."""


def expired_server(address: str, when: str = "") -> ExpiredServerCertificate:
    """Make the error for a server's certificate whose time is over, `when` as "on DAY" where it is known."""
    return ExpiredServerCertificate(
        address,
        f"the server's certificate, or its authority's, expired{' ' if when else ''}{when}",
        "Renew the server's certificate; if it is in order, set this machine's clock",
    )


def not_yet_valid_server(address: str, when: str = "") -> ServerCertificateNotYetValid:
    """Make the error for a server's certificate from the future, `when` as "before DAY" where it is known."""
    return ServerCertificateNotYetValid(
        address,
        f"the server's certificate, or its authority's, is not valid {when or 'yet'}",
        "Set this machine's clock; if it is right, look at the server's",
    )
