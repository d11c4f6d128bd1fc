"""Listening: every address, every refusal with its reason, and going on when descriptors run out."""

from __future__ import annotations

import errno
import socket
import sys

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.transport import CannotListen, Listener, TransportClosed, open_listeners
from tests.protocol.transport import rig


async def test_a_listener_hands_out_non_blocking_connections() -> None:
    async with rig.listening() as (address, accept):
        client = rig.raw_client(address)
        sock = await accept()
        assert sock.getblocking() is False
        sock.close()
        client.close()


async def test_all_addresses_of_this_computer_share_one_free_port() -> None:
    listeners = await open_listeners(None, 0)
    try:
        assert len({listener.port for listener in listeners}) == 1
        assert {listener.host for listener in listeners} <= {"0.0.0.0", "::"}
        assert listeners[0].location == f"0.0.0.0:{listeners[0].port}"
    finally:
        for listener in listeners:
            listener.close()


async def test_a_port_in_use_is_an_error_that_says_so() -> None:
    async with rig.listening() as (address, _):
        with pytest.raises(CannotListen, match="another program listens there") as caught:
            await open_listeners(address.host, address.port)
        assert caught.value.address == address.location


async def test_an_address_of_another_computer_is_an_error_that_says_so() -> None:
    with pytest.raises(CannotListen, match="does not have that address"):
        await open_listeners("192.0.2.1", 0)


async def test_an_unknown_name_is_an_error_that_says_so() -> None:
    with pytest.raises(CannotListen, match="host name is not known"):
        await open_listeners("no such host", 0)


async def test_closing_sends_a_waiting_accept_away_and_may_be_done_twice() -> None:
    (listener,) = await open_listeners(rig.HOST, 0)

    async def expect_closed() -> None:
        with pytest.raises(TransportClosed, match="listener is closed"):
            await listener.accept()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_closed)
        await wait_all_tasks_blocked()
        listener.close()
    listener.close()
    await expect_closed()


class ScriptedSocket(socket.socket):
    """A listening socket whose `accept` fails as told before it works."""

    failures: list[OSError]

    def accept(self) -> tuple[socket.socket, object]:
        if self.failures:
            raise self.failures.pop(0)
        return socket.socket(), None


def scripted(*numbers: int) -> ScriptedSocket:
    sock = ScriptedSocket(socket.AF_INET, socket.SOCK_STREAM)
    sock.bind((rig.HOST, 0))
    sock.failures = [OSError(number, "told to fail") for number in numbers]
    return sock


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
async def test_without_descriptors_it_waits_and_then_goes_on(number: int, autojump_clock: MockClock) -> None:
    told: list[OSError] = []
    listener = Listener(scripted(number, number, number), told.append)
    start = trio.current_time()
    (await listener.accept()).close()
    assert trio.current_time() - start == pytest.approx(0.05 + 0.1 + 0.2)
    assert len(told) == 1  # one line in the log, not one for each try
    assert listener.statistics().exhausted == 3
    assert listener.statistics().accepted == 1
    listener.close()


async def test_a_client_that_is_gone_before_it_is_accepted_harms_nobody(autojump_clock: MockClock) -> None:
    listener = Listener(scripted(errno.ECONNABORTED, errno.EPROTO))
    (await listener.accept()).close()
    listener.close()


async def test_an_error_of_another_kind_is_not_swallowed(autojump_clock: MockClock) -> None:
    listener = Listener(scripted(errno.EINVAL))
    with pytest.raises(OSError, match="told to fail"):
        await listener.accept()
    listener.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
async def test_real_exhaustion_of_descriptors_is_survived() -> None:
    import resource

    exhausted = trio.Event()
    (listener,) = await open_listeners(rig.HOST, 0, on_exhausted=lambda _: exhausted.set())
    client = socket.create_connection((rig.HOST, listener.port))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = socket.socket()
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe.fileno(), limits[1]))
    probe.close()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def accept() -> None:
                (await listener.accept()).close()

            try:
                await exhausted.wait()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    client.close()
    listener.close()
