"""The peers' own environment, `.bench` in the repository: their libraries are none of the product's."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import attrs

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".bench"

PEERS = (
    "aiohttp==3.14.5",
    "attrs==26.1.0",  # for the rows
    "grpcio==1.85.3",
    "matplotlib==3.11.2",  # for the plot
    "msgpack==1.2.4",
    "py-spy==0.4.3",  # for scripts/profile
    "Pyro5==5.17",
    "rpyc==6.0.2",
    "uvloop==0.23.0",
)
"""Pinned, so that two runs compare the same."""


class LaneFailed(Exception):
    """A peer could not be measured; the text says why."""


@attrs.frozen
class Pythons:
    """Which Python runs what.

    Attributes:
        peers: that of the peers' environment, None where there is none.
        missing: what could not be installed, by name, with the reason.
    """

    peers: Path | None = None
    missing: dict[str, str] = attrs.field(factory=dict)

    def of(self, library: str | None) -> Path:
        """The Python that has a library; our own for None.

        Raises:
            LaneFailed: no Python has it.
        """
        if library is None:
            return Path(sys.executable)
        if self.peers is None:
            raise LaneFailed("the peers' environment is not made")
        if library in self.missing:
            raise LaneFailed(f"not installed: {self.missing[library]}")
        return self.peers


def ensure_environment() -> Pythons:
    """The peers' environment, made where it is not there or was made of other versions."""
    python = FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = FOLDER / ".installed"
    wanted = "\n".join((sys.version, *PEERS))
    if stamp.exists() and stamp.read_text("utf-8") == wanted:
        return Pythons(python)
    print(f"bench: installing the peers into {FOLDER}", file=sys.stderr, flush=True)
    venv.create(FOLDER, clear=True, with_pip=True)
    if _install(python, *PEERS) is None:
        stamp.write_text(wanted, "utf-8")
        return Pythons(python)
    failures = {
        peer.partition("==")[0]: _install(python, peer) for peer in PEERS
    }  # one by one: some may be had
    return Pythons(python, {name: reason for name, reason in failures.items() if reason is not None})


def versions(pythons: Pythons) -> dict[str, str]:
    """What the peers' environment has, by name."""
    if pythons.peers is None:
        return {}
    return {
        name: version
        for name, _, version in (peer.partition("==") for peer in PEERS)
        if name not in pythons.missing
    }


def _install(python: Path, *requirements: str) -> str | None:
    """Install; returns the last line of what pip complained of, or None where it did not."""
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "install", "-q", *requirements], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or ["pip failed"])[-1]
