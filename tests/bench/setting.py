"""What all lanes find: one certificate, and one authority that every client trusts."""

from __future__ import annotations

import sys
from pathlib import Path

from protocol.certs import ensure_server_identity
from tests.bench.sides import HOST

if sys.platform != "win32":
    import resource


def make_folder(folder: Path) -> Path:
    """Make the server's Resources as at its first start, with a key on P-256, and a client's.

    Args:
        folder: empty.
    """
    ensure_server_identity(folder / "Resources", names=[HOST])
    client = folder / "client"
    client.mkdir()
    (client / "ca.pem").write_bytes((folder / "Resources" / "authority" / "ca.pem").read_bytes())
    return folder


def raise_descriptor_limit() -> None:
    """Let this process and its children open as many files as the administrator allows; thousands of sessions do."""
    if sys.platform != "win32":
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
