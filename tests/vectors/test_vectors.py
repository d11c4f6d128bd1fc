"""The published vectors against the code, in both directions. Changing them is a commit of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from protocol.wire import codes
from protocol.wire.codec import pack, unpack
from protocol.wire.connection import Connection, Role
from protocol.wire.envelope import Goaway, Hello, Refuse, Welcome, decode_error, encode_error
from protocol.wire.errors import CodecError, ErrorInfo, Executed, GoawayCode
from protocol.wire.events import (
    CallReceived,
    Failed,
    GoawayReceived,
    HelloReceived,
    ResultReceived,
    WelcomeReceived,
)
from protocol.wire.extensions import Extension
from protocol.wire.framing import FrameReader, FrameType, encode_frame, encode_message
from protocol.wire.limits import DEFAULT_LIMITS

FOLDER = Path(__file__).parent
SCRIPT = FOLDER.parent.parent / "scripts" / "vectors"


def load(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def from_plain(plain: Any) -> Any:
    """The value that a vector's JSON stands for."""
    if isinstance(plain, list):
        return [from_plain(member) for member in plain]
    if not isinstance(plain, dict):
        return plain
    ((form, content),) = plain.items()
    match form:
        case "int":
            return int(content)
        case "float":
            return float(content)
        case "bytes":
            return bytes.fromhex(content)
        case "map":
            return {key: from_plain(member) for key, member in content.items()}
        case "set":
            return {hashable(from_plain(member)) for member in content}
        case "datetime":
            return datetime.fromisoformat(content)
        case "date":
            return date.fromisoformat(content)
        case "time":
            return time.fromisoformat(content)
        case "timedelta":
            return timedelta(*content)
        case "decimal":
            return Decimal(content)
        case "uuid":
            return UUID(content)
        case "complex":
            return complex(*map(float, content))
    raise AssertionError(f"unknown form {form}")


def hashable(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(hashable, value))
    return frozenset(value) if isinstance(value, set) else value


def read_one(octets: str) -> Any:
    (frame,) = FrameReader(1 << 24).feed(bytes.fromhex(octets))
    return frame


def test_the_files_are_what_the_script_makes() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_the_check_finds_a_file_that_differs(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--folder", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    changed = tmp_path / "goaways.json"
    changed.write_text(changed.read_text("utf-8").replace("timeout", "time-out"), "utf-8")
    done = subprocess.run([*command, "--check"], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.returncode) == ("goaways.json differs\n", 1)
    assert "time-out" in changed.read_text("utf-8"), "--check writes nothing"


@pytest.mark.parametrize("vector", load("frames"), ids=lambda vector: vector["name"])
def test_a_frame_reads_as_its_parts_and_its_parts_write_it(vector: dict[str, Any]) -> None:
    payload = bytes.fromhex(vector["payload"])
    assert read_one(vector["frame"]) == (vector["type_number"], vector["flags"], vector["stream"], payload)
    written = encode_frame(FrameType[vector["type"]], vector["flags"], vector["stream"], payload)
    assert written.hex() == vector["frame"]
    if vector["fields"] is not None:
        fields = from_plain(vector["fields"])
        assert unpack(payload) == fields
        assert pack(fields) == payload


def test_every_frame_type_has_a_vector() -> None:
    assert {vector["type"] for vector in load("frames")} == {kind.name for kind in FrameType}


@pytest.mark.parametrize("vector", load("frames"), ids=lambda vector: vector["name"])
def test_a_connection_takes_every_frame(vector: dict[str, Any]) -> None:
    """From the side that sends it, in the state in which it may come."""
    role = Role.CLIENT if vector["sender"] == "server" or not vector["stream"] & 1 else Role.SERVER
    if vector["type"] == "HELLO":
        role = Role.SERVER
    connection = Connection(role)
    if vector["type"] not in ("HELLO", "WELCOME", "REFUSE"):
        connection.opened(DEFAULT_LIMITS)
    if vector["type"] == "ACK":
        connection.outbox.scheduler.position = 256
    if "last frame" in vector["name"]:
        first = next(other for other in load("frames") if "first frame" in other["name"])
        assert connection.receive(bytes.fromhex(first["frame"]), 0.0) == []
    events = connection.receive(bytes.fromhex(vector["frame"]), 0.0)
    assert not any(isinstance(event, Failed) for event in events)


def test_a_message_is_cut_and_joined() -> None:
    for vector in load("messages"):
        payload = bytes.fromhex(vector["payload"])
        kind = FrameType[vector["type"]]
        frames = encode_message(kind, 0, vector["stream"], payload, vector["frame_limit"])
        assert [frame.hex() for frame in frames] == vector["frames"]
        assert b"".join(read_one(frame).payload for frame in vector["frames"]) == payload


@pytest.mark.parametrize("vector", load("values"), ids=lambda vector: vector["name"])
def test_a_value_packs_and_unpacks(vector: dict[str, Any]) -> None:
    value = from_plain(vector["value"])
    unpacked = unpack(bytes.fromhex(vector["packed"]))
    assert pack(value).hex() == vector["packed"]
    assert type(unpacked) is type(value)
    assert unpacked == value or (unpacked != unpacked and value != value)


def test_every_extension_type_has_a_vector() -> None:
    names = " ".join(vector["name"] for vector in load("values"))
    assert [kind for kind in Extension if kind.name.lower() not in names] == []


@pytest.mark.parametrize("vector", load("bad_values"), ids=lambda vector: vector["name"])
def test_a_bad_value_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(CodecError):
        unpack(bytes.fromhex(vector["packed"]))


def test_every_refusal() -> None:
    vectors = load("refusals")
    assert [vector["code"] for vector in vectors] == list(codes.REFUSE_CODES)
    for vector in vectors:
        kind, flags, stream, payload = read_one(vector["frame"])
        refuse = Refuse.decode(payload, DEFAULT_LIMITS)
        assert (kind, flags, stream, refuse.code) == (FrameType.REFUSE, 0, 0, vector["code"])
        assert refuse.encode() == payload


def test_every_error_code_with_every_answer_to_whether_it_ran() -> None:
    vectors = load("errors")
    expected = [(code, executed.value) for code in codes.CALL_CODES for executed in Executed]
    assert [(vector["code"], vector["executed"]) for vector in vectors] == expected
    for vector in vectors:
        payload = read_one(vector["frame"]).payload
        error = decode_error(payload, DEFAULT_LIMITS)
        assert error == ErrorInfo(vector["code"], error.message, Executed(vector["executed"]))
        assert encode_error(error) == payload


def test_every_goaway_code() -> None:
    vectors = load("goaways")
    assert [vector["code"] for vector in vectors] == [code.value for code in GoawayCode]
    for vector in vectors:
        payload = read_one(vector["frame"]).payload
        goaway = Goaway.decode(payload, DEFAULT_LIMITS)
        assert goaway == Goaway(9, GoawayCode(vector["code"]), goaway.text)
        assert goaway.encode() == payload


def test_the_handshake_frames_survive_decoding_and_encoding() -> None:
    seen = 0
    for vector in load("frames"):
        payload = bytes.fromhex(vector["payload"])
        decoders: dict[str, type[Hello] | type[Welcome]] = {"HELLO": Hello, "WELCOME": Welcome}
        decoder = decoders.get(vector["type"])
        if decoder is not None:
            decoded = decoder.decode(payload, DEFAULT_LIMITS)
            assert decoder.decode(decoded.encode(), DEFAULT_LIMITS) == decoded
            assert "least" in vector["name"] or decoded.encode() == payload
            seen += 1
    assert seen == 5


def test_the_session_plays_on_both_sides() -> None:
    steps = load("session")
    client, server = Connection(Role.CLIENT), Connection(Role.SERVER)
    seen = []
    for step in steps:
        receiver, sender = (server, client) if step["from"] == "client" else (client, server)
        if step["type"] == "HELLO":
            sender.send_hello(Hello(application="orders"))
        elif step["type"] == "CALL":
            assert sender.open_call("caller", "Orders.find", pack([7, {}]), deadline=5.0) == 1
        assert step["from"] == "server" or sender.data_to_send().hex() == step["frame"]
        for event in receiver.receive(bytes.fromhex(step["frame"]), 0.0):
            seen.append(type(event))
            if isinstance(event, HelloReceived):
                server.opened(event.hello.limits)
            if isinstance(event, CallReceived):
                assert (event.method, unpack(event.body), event.deadline) == ("Orders.find", [7, {}], 5.0)
            if isinstance(event, ResultReceived):
                assert (event.owner, unpack(event.body)) == ("caller", "seven")
    assert seen == [HelloReceived, WelcomeReceived, CallReceived, ResultReceived, GoawayReceived]
