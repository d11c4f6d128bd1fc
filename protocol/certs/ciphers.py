"""The cipher list for TLS 1.2, and what a list from the settings must not do.

OpenSSL accepts misspelt names beside good ones, anonymous suites and `@SECLEVEL=0` without a word.
Each part of a list is therefore tried alone, and what the whole list leaves is looked at.

TLS 1.3 has suites of its own, all of them good; OpenSSL's cipher list does not touch them.
"""

from __future__ import annotations

import re
import ssl

from protocol.certs.errors import PolicyError

SECURITY_LEVEL = 2
"""At least 112 bits: RSA and DH of 2048, curves of 224 bits (SSL_CTX_set_security_level(3))."""

DEFAULT_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL:!DSS"
"""Forward secrecy and authenticated encryption alone, as Mozilla's intermediate profile."""

KEY = "tls.ciphers"

_FORWARD_SECRET = {"kx-ecdhe", "kx-dhe"}
_LEAST_BITS = 128
_SEPARATORS = re.compile(r"[:;, ]+")


def set_ciphers(context: ssl.SSLContext, ciphers: str | None) -> None:
    """Set a context's ciphers for TLS 1.2.

    Args:
        context: the context to change.
        ciphers: an OpenSSL cipher list from the settings, or None for the default.

    Raises:
        PolicyError: the list names what does not exist, or what would weaken the connection; the text
            names the parts.
    """
    if ciphers is not None:
        _check_parts(ciphers)
    context.set_ciphers(f"@SECLEVEL={SECURITY_LEVEL}:{ciphers or DEFAULT_CIPHERS}")
    if ciphers is not None:
        _check_result(context)


def _check_parts(ciphers: str) -> None:
    parts = [part for part in _SEPARATORS.split(ciphers) if part]
    # Anywhere in a part, since OpenSSL takes a command that follows a name without a separator.
    commands = [part for part in parts if "@" in part and part != "@STRENGTH"]
    if commands:
        raise PolicyError(KEY, f"{', '.join(commands)} is not accepted: the security level is fixed")
    unknown = [part for part in parts if not part.startswith("@") and not _resolves(part)]
    if unknown:
        raise PolicyError(KEY, f"OpenSSL knows no cipher by the name {', '.join(unknown)}")
    if not any(part[0] not in "@!-" for part in parts):
        raise PolicyError(KEY, "the list names no cipher")


def _resolves(part: str) -> bool:
    if "!" in part[1:]:
        return False  # OpenSSL begins anew there, and would pass over what it does not know
    scratch = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # Level 0, so that a weak cipher is found here and refused by what it is.
        scratch.set_ciphers(f"@SECLEVEL=0:{part.lstrip('!-+')}")
    except ssl.SSLError:
        return False
    return True


def _check_result(context: ssl.SSLContext) -> None:
    if context.security_level != SECURITY_LEVEL:
        raise PolicyError(KEY, f"the list sets the security level {context.security_level}")
    suites = [suite for suite in context.get_ciphers() if suite["protocol"] != "TLSv1.3"]
    bad = [
        suite["name"]
        for suite in suites
        if suite["auth"] == "auth-null" or suite["strength_bits"] < _LEAST_BITS
    ]
    if bad:
        raise PolicyError(KEY, f"{', '.join(bad)} would not protect the connection; remove it from the list")
    if not any(suite["kea"] in _FORWARD_SECRET for suite in suites):
        named = ", ".join(suite["name"] for suite in suites) or "nothing"
        raise PolicyError(
            KEY, f"the list leaves {named}, none with forward secrecy; add an ECDHE or DHE cipher"
        )
