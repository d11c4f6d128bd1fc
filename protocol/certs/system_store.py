"""The operating system's authorities, through truststore: the one door to that library.

On Linux and the BSDs they are files that OpenSSL reads; truststore knows where the distributions keep them
when OpenSSL's own places are empty, as in a Python that was built elsewhere. On Windows and macOS the system
judges a chain itself, once the handshake has shown it: OpenSSL then checks nothing, and the handshake counts
as done only after the system has agreed, name included. Nothing of the application's is sent before that.

truststore offers all this as a context of its own. That one judges a socket when it is wrapped, before a
handshake that is done later, as ours is; therefore its two steps are called from here, by names that it keeps
to itself. `pyproject.toml` holds it to versions that have them.

It is imported by the call that needs it: a client with a pin or anchors does not pay for it.
"""

from __future__ import annotations

import ssl
import sys
from typing import Any

# Where the system judges, in place of OpenSSL with the system's files.
_SYSTEM_JUDGES = sys.platform in ("win32", "darwin")


class _JudgedSocket(ssl.SSLSocket):
    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        _judge(self)


class _JudgedObject(ssl.SSLObject):
    def do_handshake(self) -> None:
        super().do_handshake()
        _judge(self)


class SystemContext(ssl.SSLContext):
    """A context of a client whose servers the operating system judges, after their handshake."""

    sslsocket_class = _JudgedSocket
    sslobject_class = _JudgedObject

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        """As `ssl.SSLContext.wrap_socket`, with OpenSSL's own judgement left out where the system's counts."""
        with _truststore()._configure_context(self):
            return super().wrap_socket(*args, **options)

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """As `ssl.SSLContext.wrap_bio`, likewise."""
        with _truststore()._configure_context(self):
            return super().wrap_bio(*args, **options)


def system_context_class() -> type[ssl.SSLContext]:
    """Give the class of contexts with which the operating system's authorities can be used here."""
    return SystemContext if _SYSTEM_JUDGES else ssl.SSLContext


def load_system_authorities(context: ssl.SSLContext) -> None:
    """Have a context of `system_context_class` trust the operating system's authorities.

    Args:
        context: a client's, new; it verifies and checks the name.
    """
    # Read here, in the thread that makes the context, and not with each handshake in the loop's. Where the
    # system judges there is nothing to read.
    with _truststore()._configure_context(context):
        pass


def _judge(side: ssl.SSLSocket | ssl.SSLObject) -> None:
    try:
        _truststore()._verify_peercerts(side, server_hostname=side.server_hostname)
    except ssl.SSLCertVerificationError as error:
        error.reason = "CERTIFICATE_VERIFY_FAILED"  # one that Python code made has none
        raise


def _truststore() -> Any:
    from truststore import _api

    return _api
