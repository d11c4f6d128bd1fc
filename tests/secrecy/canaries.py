"""Secrets that are recognised wherever they turn up.

A test that gives the product a secret plants a canary: `canary("wrong passphrase")` is a text that occurs nowhere else,
the same one in every process. Whatever the product makes itself (an invitation's code, a token) is registered when the
test has it: `secret(code)`. `tests.secrecy.plugin` fails every test in whose course one of them became readable.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from protocol.certs.certificates import public_bytes

_MARK = "canary"
_CANARY = re.compile(rf"{_MARK}-[a-z0-9-]+-[0-9a-f]{{10}}(?![0-9a-f])")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{16,}")
_PIECE = 16
"""Characters of a key's PEM by which it is recognised: 96 bits."""

_LEAST = 8
"""Characters or bytes of a secret: a fuzzer's token of one byte would be found everywhere."""

_PRIVATE = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----(.*?)-----END \1-----", re.DOTALL)


def canary(name: str) -> str:
    """A secret of this name; printable ASCII, 27 characters and more."""
    digest = hashlib.sha256(f"{_MARK} {name}".encode()).hexdigest()[:10]
    return f"{_MARK}-{re.sub(r'[^a-z0-9]+', '-', name.lower())}-{digest}"


class Secrets:
    """The secrets that were made in the course of one test; canaries need not be here."""

    def __init__(self) -> None:
        self._texts: set[str] = set()
        self._pieces: set[str] = set()

    def clear(self) -> None:
        """Forget all: the next test has others."""
        self._texts.clear()
        self._pieces.clear()

    def add(self, value: str | bytes) -> None:
        """Register a secret: text, or bytes in the forms in which they are printed; a short one is none."""
        if len(value) < _LEAST:
            return
        if isinstance(value, str):
            self._texts.add(value)
        else:
            self._texts |= {value.hex(), repr(value)[2:-1]}

    def add_keys(self, content: str) -> None:
        """Register the private keys of a PEM file by all pieces of their bodies."""
        for found in _PRIVATE.finditer(content):
            public = _public_half(found[0])
            for line in found[2].split():
                pieces = (line[at : at + _PIECE] for at in range(0, len(line) - _PIECE + 1, _PIECE))
                self._pieces |= {piece for piece in pieces if not _is_in(public, piece)}

    def found_in(self, text: str) -> set[str]:
        """What of all secrets is readable in a text; keys are named and not shown."""
        found = set(_CANARY.findall(text))
        found |= {known for known in self._texts if known in text}
        if self._pieces and any(self._is_key(run) for run in _BASE64.findall(text)):
            found.add("a private key of this test")
        if _PRIVATE.search(text) is not None:
            found.add("a private key in PEM")
        return found

    def _is_key(self, run: str) -> bool:
        return any(run[at : at + _PIECE] in self._pieces for at in range(len(run) - _PIECE + 1))


def _public_half(pem: str) -> bytes:
    """What certificates and requests show of a key; nothing where it is encrypted."""
    with contextlib.suppress(ValueError, TypeError, UnsupportedAlgorithm):
        key = serialization.load_pem_private_key(pem.encode(), None)
        return public_bytes(key.public_key())
    return b""


def _is_in(public: bytes, piece: str) -> bool:
    try:
        return base64.b64decode(piece) in public
    except ValueError:
        return False


present = Secrets()
"""Those of the test that runs in this process."""


def secret(value: str | bytes) -> None:
    """Register a secret that the product has made."""
    present.add(value)
