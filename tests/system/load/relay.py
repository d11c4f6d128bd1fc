"""A relay with a bounded rate: a slow link on loopback, TCP to TCP, whatever flows over it."""

from __future__ import annotations

import socket

import trio

from protocol.transport import Address

STEP = 0.002
"""Seconds of sending between two pauses: fine enough that the rate has no bursts worth measuring."""


async def serve_relay(
    to: Address, rate: float, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
) -> None:
    """Relay connections until cancelled; reports its port.

    Args:
        to: where to.
        rate: bytes a second, each way.
    """

    async def relay(near: trio.SocketStream) -> None:
        far = await trio.open_tcp_stream(to.host, to.port)
        for stream in (near, far):
            # Small buffers: a link has little of its own, and what waits in them cannot be overtaken.
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * 1024)
        async with near, far, trio.open_nursery() as nursery:
            nursery.start_soon(_copy, near, far, rate)
            await _copy(far, near, rate)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, relay, 0)
        task_status.started(listeners[0].socket.getsockname()[1])


async def _copy(source: trio.SocketStream, sink: trio.SocketStream, rate: float) -> None:
    most = int(rate * STEP)
    free_at = trio.current_time()
    try:
        while data := await source.receive_some(most):
            free_at = max(free_at, trio.current_time()) + len(data) / rate
            await sink.send_all(data)
            await trio.sleep_until(free_at)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
