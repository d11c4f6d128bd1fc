"""The floors: blocking `ssl` sockets and nothing else, small calls with msgpack and blobs as raw bytes.

With the word "sha256" each side hashes a blob, as both sides of appserver do: what that leaves of the speed.

Nobody would serve with it: one thread a connection, one message at a time, no ids. It is what Python and TLS
cost by themselves.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import struct
import threading
from typing import Any

import msgpack

from tests.bench import loads
from tests.bench.sides import HOST, PIECE, Life, Load

_SIZE = struct.Struct(">cQ")


def serve(life: Life) -> None:
    """Serve until the process ends."""
    context = life.files.server_context()
    listener = socket.create_server(("127.0.0.1", 0))
    life.announce(listener.getsockname()[1])
    while True:
        connection, _ = listener.accept()
        arguments = (context, connection, "sha256" in life.words)
        threading.Thread(target=_serve_one, args=arguments, daemon=True).start()


def _serve_one(context: ssl.SSLContext, connection: socket.socket, hashed: bool) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with context.wrap_socket(connection, server_side=True) as tls:
        if tls.recv(1) == b"b":
            _serve_blobs(tls, hashed)
        else:
            _serve_calls(tls)


def _serve_calls(tls: ssl.SSLSocket) -> None:
    unpacker, pack = msgpack.Unpacker(), msgpack.Packer().pack
    while data := tls.recv(65536):
        unpacker.feed(data)
        for left, right in unpacker:
            tls.sendall(pack(left + right))


def _serve_blobs(tls: ssl.SSLSocket, hashed: bool) -> None:
    while header := tls.recv(_SIZE.size):
        direction, size = _SIZE.unpack(header)
        if direction == b"d":
            send_zeros(tls, size, hashed)
        else:
            tls.sendall(struct.pack(">Q", receive_all(tls, size, hashed)))


def send_zeros(tls: ssl.SSLSocket, size: int, hashed: bool) -> None:
    """Send so many bytes in pieces of 256 KiB; then their hash, if they are hashed."""
    piece = memoryview(bytes(PIECE))
    digest = hashlib.sha256()
    while size > 0:
        if hashed:
            digest.update(piece[:size])
        tls.sendall(piece[:size])
        size -= PIECE
    if hashed:
        tls.sendall(digest.digest())


def receive_all(tls: ssl.SSLSocket, size: int, hashed: bool) -> int:
    """Receive so many bytes into one buffer; returns how many came."""
    buffer = memoryview(bytearray(PIECE))
    digest = hashlib.sha256()
    received = 0
    while received < size and (count := tls.recv_into(buffer[: size - received])):
        if hashed:
            digest.update(buffer[:count])
        received += count
    if hashed and tls.recv(digest.digest_size) != digest.digest():
        raise loads.WrongAnswer("another hash")
    return received


def load(load: Load) -> None:
    """Take orders."""
    context = load.files.client_context()
    with socket.create_connection((HOST, load.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(connection, server_hostname=HOST) as tls:
            if load.work == "add":
                tls.sendall(b"c")
                _calls(load, tls)
            else:
                tls.sendall(b"b")
                _blobs(load, tls)


def _calls(load: Load, tls: ssl.SSLSocket) -> None:
    unpacker, pack = msgpack.Unpacker(), msgpack.Packer().pack

    def add(left: int, right: int) -> Any:
        tls.sendall(pack((left, right)))
        while True:
            unpacker.feed(tls.recv(65536))
            for answer in unpacker:
                return answer

    for order in load.orders():
        with load.meter() as meter:
            count = loads.add_blocking(add, order)
        meter.report(count)


def _blobs(load: Load, tls: ssl.SSLSocket) -> None:
    hashed = "sha256" in load.words
    for _ in load.orders():
        with load.meter() as meter:
            if load.work == "down":
                tls.sendall(_SIZE.pack(b"d", load.size))
                size = receive_all(tls, load.size, hashed)
            else:
                tls.sendall(_SIZE.pack(b"u", load.size))
                send_zeros(tls, load.size, hashed)
                (size,) = struct.unpack(">Q", tls.recv(8))
        if size != load.size:
            raise loads.WrongAnswer(size)
        meter.report(size / 2**20, **meter.growth())
