"""Renewing certificates over a session: what everybody who is connected may ask for, and how often."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import trio

from appclient import TooManyCalls, connect
from appserver import Application, open_server
from appserver.renewals import MOST
from protocol.certs.joining import make_key_request
from protocol.certs.keys import make_private_key
from protocol.interface import make_proxy
from protocol.peer import PeerCaller
from protocol.peer.enrolment import NotRenewed, Renewal
from protocol.settings import ClientServerSettings, Settings


async def test_one_connection_is_answered_a_few_times_a_minute_and_others_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody needs a certificate here, so strangers can ask: each answer costs a look into the register and a line."""
    caplog.set_level(logging.INFO, "appserver.joining")
    request = make_key_request(make_private_key("p256"))
    settings = Settings(client_server=ClientServerSettings(port=0))
    with trio.fail_after(30):
        async with open_server(
            Application("desk"), settings=settings, resources=tmp_path / "Resources"
        ) as server:
            address = server.connection_address("localhost")
            async with connect(address) as stranger, connect(address) as other:
                renew = make_proxy(Renewal, PeerCaller(stranger)).renew
                for _ in range(MOST):
                    with pytest.raises(NotRenewed):
                        await renew(request)
                for _ in range(50):
                    with pytest.raises(TooManyCalls, match="too often"):
                        await renew(request)
                with pytest.raises(NotRenewed):
                    await make_proxy(Renewal, PeerCaller(other)).renew(request)
    assert len([record for record in caplog.records if "not renewed" in record.message]) == MOST + 1
