"""The two sides' switches set differently: an error that names the switch, and never plain text."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import trio

from appclient import EncryptionDowngrade, connect
from protocol.transport import Address, EncryptionRequired, ServerNotEncrypted
from tests.secrecy.canaries import canary
from tests.system.application import Desk
from tests.system.processes import client_resources, client_settings, serving
from tests.system.relay import open_relay

SECRETS = {"user": "canary-user", "password": canary("password beside the switch")}
SWITCH = "client_server.encrypt"


def says_nothing(recorded: bytes) -> bool:
    """Whether no HELLO and no credentials were recorded."""
    return not any(
        word in recorded for word in (b"canary", b"password", b"Desk", b"credentials", b"interfaces")
    )


@pytest.mark.parametrize("encrypt", [True, False])
async def test_a_client_with_the_other_setting_is_told_its_name(tmp_path: Path, encrypt: bool) -> None:
    """`encrypt` is the server's; the client has the opposite."""
    kind = EncryptionRequired if encrypt else ServerNotEncrypted
    with trio.fail_after(30):
        async with serving(tmp_path, encrypt=encrypt) as server, open_relay(server.port) as relay:
            with trio.fail_after(2), pytest.raises(kind) as caught:
                async with connect(
                    Address("localhost", relay.port),
                    resources=client_resources(server),
                    settings=client_settings(encrypt=not encrypt),
                    credentials=SECRETS,
                    interfaces=[Desk],
                ):
                    pass
            assert SWITCH in str(caught.value)
            assert f"localhost:{relay.port}" in str(caught.value)
            assert says_nothing(relay.recorded), bytes(relay.up)
            found = await server.wait_log(lambda line: SWITCH in str(line.get("finding")))
            assert [line["level"] for line in found] == ["warning"]


async def test_a_server_that_was_seen_encrypted_is_not_talked_to_in_plain(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with serving(tmp_path) as server:
            resources = client_resources(server)
            address = Address("localhost", server.port)
            async with connect(address, resources=resources, settings=client_settings()) as client:
                assert await client.use(Desk).echo("a") == "a"
            server.kill()
            port = server.port
        async with serving(tmp_path, encrypt=False, port=port) as server, open_relay(port) as relay:
            # The relay's port is not known as encrypted, the server's own is.
            with pytest.raises(EncryptionDowngrade) as caught:
                async with connect(
                    address, resources=resources, settings=client_settings(encrypt=False), credentials=SECRETS
                ):
                    pass
            assert "known_servers.toml" in str(caught.value)
            pinned = attrs.evolve(Address("localhost", relay.port), pin="sha256:" + "0" * 64)
            with pytest.raises(EncryptionDowngrade):
                async with connect(pinned, settings=client_settings(encrypt=False), credentials=SECRETS):
                    pass
            assert not relay.connections
            async with connect(
                Address("localhost", relay.port), resources=resources, settings=client_settings(encrypt=False)
            ) as client:
                assert await client.use(Desk).echo("plain") == "plain"
