"""Whatever arrives, a connection answers with events or one `Failed`, and nothing else."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.wire.codec import pack
from protocol.wire.connection import Connection, Role, State
from protocol.wire.errors import CodecError, RemoteProtocolError
from protocol.wire.events import Failed
from protocol.wire.framing import FrameType
from tests.protocol.wire.talk import Talk, frame, frames_of

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-1, 5)
    | st.integers()
    | st.sampled_from([1 << 64, 1 << 4000, -(1 << 70)])
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["no", "maybe", "causes", "limits", "frame"])
    | st.binary(max_size=3)
    | st.dates()
    | st.sets(st.integers(), max_size=2)
)
PAYLOADS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(
                ["limits", "frame", "features", "interfaces", "resume", "causes", "data", "retry_after", "a"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
FRAMES = st.builds(
    frame,
    st.sampled_from([*FrameType]) | st.integers(0, 255),
    st.integers(0, 4) | st.integers(0, 0xFFFFFFFF),
    PAYLOADS | st.binary(max_size=20),
    st.sampled_from([0, 0, 0, 1, 2, 4]) | st.integers(0, 255),
)


def connections() -> list[Connection]:
    talk = Talk()
    talk.call()
    talk.server.open_call("o", "a.b", b"")
    talk.to_client()
    talk.client.subscribe("s", "t")
    talk.to_server()
    return [Connection(Role.CLIENT), Connection(Role.SERVER), talk.client, talk.server]


def feed(connection: Connection, pieces: list[bytes]) -> None:
    failed = False
    for piece in pieces:
        events = connection.receive(piece, 0.0)
        assert not failed or events == []
        for event in events:
            assert not failed, "nothing follows a Failed"
            if isinstance(event, Failed):
                assert isinstance(event.error, RemoteProtocolError)
                assert connection.state is State.CLOSED
                failed = True
    frames_of(connection.data_to_send())


@given(st.lists(FRAMES, min_size=1, max_size=6))
def test_frames_with_senseless_content(frames: list[bytes]) -> None:
    for connection in connections():
        feed(connection, frames)


@given(st.binary(min_size=1, max_size=100))
def test_octets_that_are_no_frames(data: bytes) -> None:
    for connection in connections():
        feed(connection, [data])


@pytest.mark.parametrize(
    "first", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"SSH-2.0-OpenSSH\r\n"]
)
def test_other_protocols_are_refused_with_their_first_octets(first: bytes) -> None:
    server = Connection(Role.SERVER)
    assert isinstance(server.receive(first.ljust(10), 0.0)[-1], Failed)


@given(PAYLOADS)
def test_packing_is_total(value: object) -> None:
    with contextlib.suppress(CodecError):
        pack(value)
