"""Telling the service manager how the server is: systemd's sd_notify, without its library.

Nothing waits here: a manager that does not read must not hold up the server. What cannot be sent is left out.

Source: sd_notify(3), systemd.service(5) on `Type=notify`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

SOCKET_VARIABLE = "NOTIFY_SOCKET"


class Notifier:
    """Sends datagrams to the service manager, or nowhere where there is none.

    Args:
        environ: environment variables; None takes the process's own.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        path = (os.environ if environ is None else environ).get(SOCKET_VARIABLE, "")
        # An abstract name begins with an @ in the environment, and with a zero in the system call.
        self._path = "\0" + path[1:] if path.startswith("@") else path

    def ready(self, status: str) -> None:
        """The server listens, or has finished a reload.

        Args:
            status: one line for `systemctl status`.
        """
        self._send("READY=1", f"STATUS={_one_line(status)}")

    def reloading(self) -> None:
        """The server reads its files again."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The server ends in order."""
        self._send("STOPPING=1", "STATUS=Open calls may end")

    def _send(self, *lines: str) -> None:
        if not self._path or not hasattr(socket, "AF_UNIX"):
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto("\n".join(lines).encode(), self._path)


def _one_line(text: str) -> str:
    return " ".join(text.split())
