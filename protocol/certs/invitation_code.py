"""An invitation's code: all that a client needs to join a server, in one line that can be copied and typed.

    "join" + base32(version, port, fingerprint of the authority, secret, host, checksum)

The letters are those of base32, in either case: no sign that ends a word, so that two clicks select it all, and
none that is taken for another (0, 1 and 8 are read as o, l and b). The checksum tells a slip of the hand from a wrong
code before anything is sent; it protects against nothing else.

Source: RFC 4648 section 6 (base32).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import struct

import attrs

from protocol.certs.certificates import FINGERPRINT_PREFIX
from protocol.certs.enrolment_errors import MistypedCode, NotACode
from protocol.settings.checks import is_host

SECRET_BYTES = 20
"""160 bits: nobody guesses it, and what is stored of it needs no slow hash."""

_PREFIX = "join"
_VERSION = 1
_HEAD = struct.Struct(f">BH32s{SECRET_BYTES}s")
_CHECKSUM = 4
_LONGEST = 1000
_READ_AS = str.maketrans("018", "olb", "-")


@attrs.frozen
class InvitationCode:
    """What a code says.

    Attributes:
        host: of the server, as the client is to call it.
        port: its port.
        authority: fingerprint of the key of the server's private authority, "sha256:" and 64 hex digits.
        secret: what proves the invitation. Never log it.
    """

    host: str
    port: int
    authority: str
    secret: bytes = attrs.field(repr=False)

    @classmethod
    def make(cls, host: str, port: int, authority: str) -> InvitationCode:
        """Make one with a new secret; arguments as the attributes."""
        return cls(host, port, authority, secrets.token_bytes(SECRET_BYTES))

    @property
    def mark(self) -> str:
        """What a client notes of the code by which it joins: it says nothing of the secret."""
        return hashlib.sha256(b"appserver code" + self.secret).hexdigest()[:32]

    def encode(self) -> str:
        """Write the code; it is a secret as a whole."""
        fingerprint = bytes.fromhex(self.authority.removeprefix(FINGERPRINT_PREFIX))
        content = _HEAD.pack(_VERSION, self.port, fingerprint, self.secret) + self.host.encode("ascii")
        packed = base64.b32encode(content + _checksum(content))
        return _PREFIX + packed.decode("ascii").rstrip("=").lower()

    @classmethod
    def parse(cls, text: str) -> InvitationCode:
        """Read a code.

        Args:
            text: as typed or copied; not trusted. Spaces, line breaks and hyphens in it do not count.

        Raises:
            NotACode: it is none.
            MistypedCode: it is not whole.
        """
        joined = "".join(text.split()).lower()
        if not joined.startswith(_PREFIX) or len(joined) > _LONGEST:
            raise NotACode(f'this is no invitation code: one is a long word that begins with "{_PREFIX}"')
        body = joined.removeprefix(_PREFIX).translate(_READ_AS).upper()
        try:
            content = base64.b32decode(body + "=" * (-len(body) % 8))
        except (binascii.Error, ValueError):
            raise _mistyped() from None  # the cause may quote the text
        content, checksum = content[:-_CHECKSUM], content[-_CHECKSUM:]
        if len(content) <= _HEAD.size or _checksum(content) != checksum:
            raise _mistyped()
        version, port, fingerprint, secret = _HEAD.unpack_from(content)
        host = content[_HEAD.size :].decode("ascii", "replace")
        if version != _VERSION or not is_host(host) or not port:
            raise NotACode("this code is of another version: use a client as new as the server")
        return cls(host, port, FINGERPRINT_PREFIX + fingerprint.hex(), secret)


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(b"invitation" + content).digest()[:_CHECKSUM]


def _mistyped() -> MistypedCode:
    return MistypedCode(
        "the code was mistyped or is not whole (its checksum is wrong): copy all of it once more; nothing was sent"
    )
