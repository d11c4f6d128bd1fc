"""`python -m tests.bench.child`: one side of a lane, in a process of its own.

    serve PEER FOLDER [WORD...]                              prints where it listens, ends with standard input
    load PEER FOLDER PORT PID WORK CONNECTIONS CALLERS SIZE [WORD...]    takes orders from standard input

PEER is a module of `tests.bench.peers`. It runs with the Python that has that peer installed.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from tests.bench.sides import Files, Life, Load, read_orders


def main(words: list[str]) -> None:
    """Do one or the other."""
    role, peer, folder, *rest = words
    module = importlib.import_module(f"tests.bench.peers.{peer}")
    files = Files(Path(folder))
    if role == "serve":
        life = Life(files, tuple(rest))
        life.end_with_parent()
        module.serve(life)
        return
    given = read_orders()
    port, server, work, connections, callers, size, *options = rest
    numbers = int(connections), int(callers), int(size)
    module.load(Load(files, int(port), int(server), given, work, *numbers, tuple(options)))


if __name__ == "__main__":
    main(sys.argv[1:])
