"""A TLS handshake between two contexts of this process, in memory."""

from __future__ import annotations

import ssl

_ROUNDS = 6
"""Turns of each side: a handshake needs three, and one more shows the client's refusal to the server."""


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> ssl.SSLObject:
    """Do a whole handshake.

    Args:
        server: the server's context.
        client: the client's.
        name: of the server, as the client asks for it.

    Returns:
        The client's side, connected.

    Raises:
        ssl.SSLError: one side refuses the other, or they come to no end.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    finished: set[ssl.SSLObject] = set()
    for _ in range(_ROUNDS):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            finished.add(side)
        if len(finished) == len(sides):
            return sides[0]
    raise ssl.SSLError("the handshake does not come to an end")
