"""A process whose clock is moved while it runs, by libfaketime."""

from __future__ import annotations

from pathlib import Path

import pytest

_PLACES = ("/usr/lib/*/faketime", "/usr/lib/faketime", "/usr/lib64/faketime", "/usr/local/lib/faketime")


def find_library() -> Path:
    """The library that is loaded before all others; a test that needs it fails without."""
    for place in _PLACES:
        for found in sorted(Path("/").glob(f"{place[1:]}/libfaketimeMT.so.1")):
            return found
    pytest.fail("libfaketime is missing, by which this test moves a server's clock: apt-get install faketime")


class Clock:
    """The clock of one process: time of day, as the C library tells it to Python and to OpenSSL.

    Args:
        folder: where what it shows is written down.

    Attributes:
        variables: environment of the process.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.variables = {
            "LD_PRELOAD": str(find_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            # What waits goes on waiting for as long as it said, and files were changed when they were.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        self.move(0)

    def move(self, seconds: float) -> None:
        """Let it show so many seconds more than the true time."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+}\n")
        new.replace(self._file)
