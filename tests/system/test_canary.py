"""What somebody who records a whole session can read: nothing with encryption on, everything with it off."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from appclient import Client, Refused
from protocol import Blob, Stream
from protocol.peer import CallError
from tests.secrecy.canaries import canary
from tests.system.application import Desk, Note, Rejected
from tests.system.processes import client_of, serving
from tests.system.relay import open_relay

WORDS = (
    "argument", "long-argument", "item-up", "item-down", "event", "event-of-another", "blob-up", "blob-down",
    "blob-name", "blob-name-of-another", "error", "error-of-another", "user", "password", "wrong-user",
    "wrong-password", "extra-credential", "after-reconnect",
)  # fmt: skip
TOLD = {word: f"canary:{word}:{number * 7919:06}" for number, word in enumerate(WORDS)}
TOLD |= {
    word: canary(word) for word in ("password", "wrong-password", "extra-credential")
}  # no log may have these
CANARIES = (*TOLD.values(), "Desk.canary_of_method", "desk.rejected")


@pytest.mark.parametrize("encrypt", [True, False])
async def test_a_recording_holds_canaries_only_where_encryption_is_off(tmp_path: Path, encrypt: bool) -> None:
    assert len(set(CANARIES)) == 20
    with trio.fail_after(40):
        async with (
            serving(tmp_path, encrypt=encrypt, extra={"DESK_PASSWORD": TOLD["password"]}) as server,
            open_relay(server.port) as relay,
        ):
            wrong = {"user": TOLD["wrong-user"], "password": TOLD["wrong-password"]}
            with pytest.raises(Refused):
                async with client_of(server, via=relay.port, credentials=wrong):
                    pass
            right = {"user": TOLD["user"], "password": TOLD["password"], "token": TOLD["extra-credential"]}
            async with client_of(server, via=relay.port, credentials=right) as client:
                await _whole_session(client, tmp_path)
                relay.reset()
                with trio.move_on_after(1):  # the first one may have been sent before the end was noticed
                    while await _echo(client, TOLD["after-reconnect"]) != TOLD["after-reconnect"]:
                        pass
            assert relay.connections >= 3
    found = [canary for canary in CANARIES if canary.encode() in relay.recorded]
    assert found == ([] if encrypt else list(CANARIES))


async def _echo(client: Client, text: str) -> str | None:
    try:
        return await client.use(Desk).echo(text)
    except CallError:
        return None


async def _whole_session(client: Client, folder: Path) -> None:
    """Everything that can travel, each thing with a canary in it."""
    desk = client.use(Desk)
    await desk.canary_of_method()
    assert await desk.echo(TOLD["argument"]) == TOLD["argument"]
    large = "." * 100_000 + TOLD["long-argument"]
    assert await desk.echo(large) == large
    assert await desk.collect(Stream([Note(TOLD["item-up"])])) == 1
    assert [note.text async for note in desk.notes(TOLD["item-down"], 3)] == [TOLD["item-down"]] * 3
    async with desk.noted.subscribe() as events:
        for word in ("event", "event-of-another"):
            await desk.publish(TOLD[word])
            assert await anext(aiter(events)) == Note(TOLD[word])
    for name, content in (("blob-name", "blob-up"), ("blob-name-of-another", "blob-down")):
        file = folder / "up"
        file.write_bytes(TOLD[content].encode() * 1000)
        await desk.put(TOLD[name], Blob(file))
        await desk.get(TOLD[name]).save(folder / "down")
        assert (folder / "down").read_bytes() == file.read_bytes()
    for word in ("error", "error-of-another"):
        with pytest.raises(Rejected, check=lambda error, why=TOLD[word]: error.why == why):  # type: ignore[misc]
            await desk.reject(TOLD[word])
