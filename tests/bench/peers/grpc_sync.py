"""grpcio's synchronous side: generic handlers, msgpack for small calls, bytes as they are for blobs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import msgpack

from tests.bench import loads
from tests.bench.sides import HOST, Files, Life, Load

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
CHUNK = 1024 * 1024
"""Bytes of one message of a stream: the fastest of 16 KiB, 64 KiB, 256 KiB and 1 MiB; its limit is 4 MiB."""


def server_credentials(files: Files) -> grpc.ServerCredentials:
    """TLS with the certificate of all."""
    pair = (files.key.read_bytes(), files.certificate.read_bytes())
    return grpc.ssl_server_credentials([pair])


def channel_credentials(files: Files) -> grpc.ChannelCredentials:
    """TLS that trusts the authority of all."""
    return grpc.ssl_channel_credentials(files.authority.read_bytes())


def _add(request: list[int], _: Any) -> int:
    return request[0] + request[1]


def _down(request: bytes, _: Any) -> Iterator[bytes]:
    return _pieces(int(request))


def _up(requests: Iterator[bytes], _: Any) -> bytes:
    return str(sum(map(len, requests))).encode()


def _pieces(size: int) -> Iterator[bytes]:
    piece = bytes(CHUNK)
    for _ in range(size // CHUNK):
        yield piece


def serve(life: Life) -> None:
    """Serve until the process ends."""
    server = grpc.server(ThreadPoolExecutor(max_workers=8), options=OPTIONS)
    handlers = {
        "add": grpc.unary_unary_rpc_method_handler(_add, msgpack.unpackb, msgpack.packb),
        "down": grpc.unary_stream_rpc_method_handler(_down),
        "up": grpc.stream_unary_rpc_method_handler(_up),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Bench", handlers),))
    port = server.add_secure_port("127.0.0.1:0", server_credentials(life.files))
    server.start()
    life.announce(port)
    server.wait_for_termination()


def load(load: Load) -> None:
    """Take orders."""
    target = f"{HOST}:{load.port}"
    with grpc.secure_channel(target, channel_credentials(load.files), OPTIONS) as channel:
        if load.work == "add":
            _calls(load, channel)
        else:
            _blobs(load, channel)


def _calls(load: Load, channel: Any) -> None:
    method = channel.unary_unary("/Bench/add", msgpack.packb, msgpack.unpackb)

    def add(left: int, right: int) -> int:
        return method((left, right))  # type: ignore[no-any-return]

    for order in load.orders():
        with load.meter() as meter:
            count = loads.add_blocking(add, order)
        meter.report(count)


def _blobs(load: Load, channel: Any) -> None:
    down = channel.unary_stream("/Bench/down")
    up = channel.stream_unary("/Bench/up")

    def fetch(size: int) -> int:
        return sum(map(len, down(str(size).encode())))

    fetch(CHUNK)  # connected
    for _ in load.orders():
        with load.meter() as meter:
            size = fetch(load.size) if load.work == "down" else int(up(_pieces(load.size)))
        if size != load.size:
            raise loads.WrongAnswer(size)
        meter.report(size / 2**20, **meter.growth())
