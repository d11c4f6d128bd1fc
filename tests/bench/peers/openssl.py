"""`openssl s_server`: what a handshake costs OpenSSL alone."""

from __future__ import annotations

import socket
import subprocess
import time

from tests.bench.sides import Life


def serve(life: Life) -> None:
    """Run it with the certificate and the group that ours has, until the process ends.

    It answers each line with its reverse, so that a client sees that the handshake is over on both sides.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    certificate, key = str(life.files.certificate), str(life.files.key)
    options = ["-quiet", "-rev", "-tls1_3", "-num_tickets", "0", "-groups", "P-256"]
    identity = ["-cert", certificate, "-cert_chain", certificate, "-key", key]
    process = subprocess.Popen(
        ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", *options, *identity],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    life.also.append(process)
    _wait_listening(port)
    life.announce(port)
    process.wait()


def _wait_listening(port: int) -> None:
    for _ in range(500):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise TimeoutError("openssl s_server does not listen")
