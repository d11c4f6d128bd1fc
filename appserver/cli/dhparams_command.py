"""`appserver certificates dhparams`: the finite-field group of TLS 1.2 clients without elliptic curves."""

from __future__ import annotations

import json as json_format
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Flag = Annotated[bool, Parameter(negative=())]


def dhparams(
    *,
    generate: Flag = False,
    settings: Path | None = None,
    resources: Path | None = None,
    json: Flag = False,
    debug: Flag = False,
) -> int:
    """Check dhparams.pem, or write it with a published group (ffdhe2048) where there is none.

    Args:
        generate: search for a group of this server's own, and replace the file. It takes a minute or two; Ctrl+C
            leaves the file as it was.
        settings: the settings file; settings.toml in this folder without.
        resources: the server's Resources folder.
        json: print the result as JSON.
        debug: show tracebacks.
    """
    from protocol.certs import (
        UnwritableFolder,
        ensure_dh_parameters,
        load_dh_parameters,
        server_resources_folder,
    )
    from protocol.certs.dhparams import DH_FILE
    from protocol.certs.pem import check_folder
    from protocol.settings import load_settings

    folder = server_resources_folder(load_settings(settings), resources)
    check_folder(folder, setting="[tls] resources")
    if generate:
        _generate(folder)
    written = ensure_dh_parameters(folder) or generate
    parameters = load_dh_parameters(folder)
    file = folder / DH_FILE
    if not file.exists():
        remedy = "Let this user write there; a server uses the same group without the file"
        raise UnwritableFolder(file, "the file cannot be written", remedy)
    if json:
        facts = {"file": str(file), "bits": parameters.bits, "group": parameters.name, "written": written}
        print(json_format.dumps(facts))
        return 0
    name = "a group of its own" if parameters.name == "own" else f"the published group {parameters.name}"
    print(f"{file}: {name}, {parameters.bits} bits{', written now' if written else ''}")
    if generate:
        print("a running server takes it over by itself")
    return 0


def _generate(folder: Path) -> None:
    """Search with a bar that shows how likely it is that the search would have ended by now."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from protocol.certs import generate_dh_parameters
    from protocol.certs.dhparams import LEAST_BITS

    print(
        f"searching for a safe prime of {LEAST_BITS} bits, which is a matter of chance; Ctrl+C stops it",
        file=sys.stderr,
        flush=True,
    )
    columns = (
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} % of such searches end by now"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("search", total=1.0)
        generate_dh_parameters(folder, progress=lambda chance: bar.update(task, completed=chance))
