"""The group that a handshake agreed on, as the client reads it from the wire."""

from __future__ import annotations

import ssl

import pytest
import trustme

from protocol.transport.server_hello import group_of


def first_flight(group: str, version: ssl.TLSVersion) -> bytes:
    """What a server that has only one group answers to a client's hello."""
    authority = trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_context)
    server_context.set_ecdh_curve(group)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    client_context.minimum_version = client_context.maximum_version = version
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname="localhost")
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with pytest.raises(ssl.SSLWantReadError):
        server.do_handshake()
    return to_client.read()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("curve", "name"), [("X25519", "X25519"), ("prime256v1", "P-256"), ("secp384r1", "P-384")]
)
def test_the_group_is_read_from_the_servers_first_flight(
    curve: str, name: str, version: ssl.TLSVersion
) -> None:
    assert group_of(first_flight(curve, version)) == name


def test_a_flight_cut_anywhere_gives_the_group_or_none() -> None:
    flight = first_flight("X25519", ssl.TLSVersion.TLSv1_2)
    assert {group_of(flight[:size]) for size in range(len(flight))} == {None, "X25519"}


@pytest.mark.parametrize(
    "noise", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x16\x03\x03\xff\xff", bytes(100)]
)
def test_other_bytes_have_no_group(noise: bytes) -> None:
    assert group_of(noise) is None


def test_no_changed_byte_makes_it_fail() -> None:
    flight = first_flight("X25519", ssl.TLSVersion.TLSv1_3)
    for at in range(min(len(flight), 200)):
        for value in (0, 1, 0x7F, 0xFF):
            group_of(flight[:at] + bytes([value]) + flight[at + 1 :])
