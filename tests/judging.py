"""What stands in for an operating system that judges certificates itself, as Windows and macOS do."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator


@contextlib.contextmanager
def leave_out_openssl(context: ssl.SSLContext) -> Iterator[None]:
    """What truststore does with a context there while a connection is wrapped."""
    name, mode = context.check_hostname, context.verify_mode
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    yield
    context.verify_mode, context.check_hostname = mode, name
