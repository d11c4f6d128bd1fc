"""`appserver certificates dhparams`: the finite-field group of TLS 1.2 clients without elliptic curves."""

from __future__ import annotations

import sys
from pathlib import Path

from appserver.cli.options import Flag, ServerOptions


def dhparams(
    *,
    generate: Flag = False,
    options: ServerOptions = ServerOptions(),  # noqa: B008 - frozen
) -> int:
    """Check dhparams.pem, or write it with a published group (ffdhe2048) where there is none.

    Args:
        generate: search for a group of this server's own, and replace the file. It takes a minute or two; Ctrl+C
            leaves the file as it was.
        options: settings and output.
    """
    from appserver.cli import certificate_commands as commands
    from protocol.certs import UnwritableFolder, ensure_dh_parameters, load_dh_parameters
    from protocol.certs.dhparams import DH_FILE
    from protocol.certs.pem import check_folder

    folder = commands.find_place(options).folder
    check_folder(folder, setting="[tls] resources")
    if generate:
        _generate(folder)
    written = ensure_dh_parameters(folder) or generate
    parameters = load_dh_parameters(folder)
    file = folder / DH_FILE
    if not file.exists():
        remedy = "Let this user write there; a server uses the same group without the file"
        raise UnwritableFolder(file, "the file cannot be written", remedy)
    data = {"file": file, "bits": parameters.bits, "group": parameters.name, "written": written}
    name = "a group of its own" if parameters.name == "own" else f"the published group {parameters.name}"
    lines = [f"{file}: {name}, {parameters.bits} bits{', written now' if written else ''}"]
    if generate:
        lines.append("a running server takes it over by itself")
    return commands.say(commands.Outcome(data, lines), as_json=options.json)


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
