"""Connections that are made, answered once and dropped: the same threads against appserver and `openssl s_server`.

Each makes a TLS handshake, sends a first message and waits for the answer: HELLO and WELCOME with ours, a line and
its reverse with s_server. OpenSSL lets other threads run while it computes, so both sides have work all the time.
"""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from protocol.interface import contract_of
from protocol.transport.base import ALPN
from protocol.wire.connection import Connection, Role
from protocol.wire.envelope import Hello, InterfaceOffer
from protocol.wire.framing import FrameType
from tests.bench import loads
from tests.bench.contract import Bench
from tests.bench.sides import HOST, Load, Order

THREADS = 4
GROUP = "prime256v1"
"""The one group that appserver takes inside another process; see `protocol.certs.groups`."""
LINE = b"hello\n"


def hello() -> bytes:
    """What appserver's client sends first."""
    contract = contract_of(Bench)
    connection = Connection(Role.CLIENT)
    offer = InterfaceOffer((contract.version,), contract.fingerprint)
    connection.send_hello(Hello(interfaces={contract.name: offer}, limits=connection.limits))
    return connection.data_to_send()


def is_answer(question: bytes, answer: bytes) -> bool:
    """Whether the server did its part."""
    if question == LINE:
        return answer == b"olleh\n"
    return len(answer) > 4 and answer[4] == FrameType.WELCOME


def load(load: Load) -> None:
    """Take orders."""
    context = load.files.client_context()
    context.set_ecdh_curve(GROUP)
    question = LINE
    if load.work == "welcomes":
        context.set_alpn_protocols([ALPN])
        question = hello()

    def one() -> None:
        with ExitStack() as stack:
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", load.port)))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tls = stack.enter_context(context.wrap_socket(connection, server_hostname=HOST))
            tls.sendall(question)
            answer = tls.recv(65536)
            if not is_answer(question, answer):
                raise loads.WrongAnswer(answer[:20])

    def caller(order: Order) -> int:
        end, count = order.end, 0
        while time.perf_counter() < end and count < order.calls:
            one()
            count += 1
        return count

    with ThreadPoolExecutor(THREADS) as threads:
        for order in load.orders():
            with load.meter() as meter:
                count = sum(threads.map(caller, [order] * THREADS))
            meter.report(count)
