"""What all lanes find: one certificate, and one authority that every client trusts."""

from __future__ import annotations

from pathlib import Path

from protocol.certs import ensure_server_identity
from tests.bench.sides import HOST


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
