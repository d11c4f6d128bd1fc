"""A configuration of OpenSSL that limits the groups of this process and keeps all that the user's own says.

OpenSSL reads one file when it starts: that of OPENSSL_CONF, or else the one that it was built for. A
file of ours must not take its place, for it may choose a provider (FIPS), a policy of the system, or
an engine. So ours includes it and then writes one more line into the section that its chain of names
leads to: `openssl_conf` -> `ssl_conf` -> `system_default`. Where a name is missing, ours is added.
A section that appears twice is one section, and the last value of a name counts.

Source: config(5) and SSL_CONF_cmd(3) of OpenSSL, from 1.1.1 on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

VARIABLE = "OPENSSL_CONF"

_SECTION = re.compile(r"\[\s*([^]]*?)\s*\]")
_INCLUDE = re.compile(r"\.include\s*=?\s*(.+)")
_VALUE = re.compile(r"([^=\s]+)\s*=\s*(.*)")
_DEEPEST = 8
_CHAIN = ("openssl_conf", "ssl_conf", "system_default")
_OURS = ("appserver_openssl", "appserver_ssl", "appserver_tls")


def user_config(environ: Mapping[str, str], verify_folder: str) -> Path | None:
    """Find the file that OpenSSL would read.

    Args:
        environ: environment variables.
        verify_folder: OpenSSL's folder of certificates (`ssl.get_default_verify_paths().openssl_capath`),
            which lies in the folder that it was built for.

    Returns:
        The file, or None where there is none.
    """
    named = environ.get(VARIABLE)
    path = Path(named) if named else Path(verify_folder).parent / "openssl.cnf"
    return path.absolute() if path.is_file() else None


def limited_config(user: Path | None, groups: Sequence[str]) -> str:
    """Write a configuration that is the user's, with other groups.

    Args:
        user: the user's own file.
        groups: their names.
    """
    found = _read(user, {}, 0) if user is not None else {}
    lines = [] if user is None else [f".include = {user.as_posix()}"]
    section = "default"
    for name, ours in zip(_CHAIN, _OURS, strict=True):
        following = found.get((section, name)) or ours
        lines += [f"[{section}]", f"{name} = {following}"]
        section = following
    return "\n".join([*lines, f"[{section}]", f"Groups = {':'.join(groups)}", ""])


def _read(path: Path, found: dict[tuple[str, str], str], depth: int) -> dict[tuple[str, str], str]:
    """Gather the names of the chain, by section and name."""
    section = "default"
    for line in _lines(path):
        if match := _SECTION.match(line):
            section = match[1]
        elif match := _INCLUDE.match(line):
            for included in _included(match[1].strip().strip("\"'"), path) if depth < _DEEPEST else ():
                _read(included, found, depth + 1)
        elif (match := _VALUE.match(line)) and match[1] in _CHAIN:
            found[section, match[1]] = match[2].strip().strip("\"'")
    return found


def _lines(path: Path) -> Iterator[str]:
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        return
    for line in text.replace("\\\n", "").splitlines():
        if content := line.partition("#")[0].strip():
            yield content


def _included(named: str, by: Path) -> Iterator[Path]:
    folder = Path(os.environ.get("OPENSSL_CONF_INCLUDE") or by.parent)
    path = folder / named
    if path.is_dir():
        yield from (file for file in sorted(path.iterdir()) if file.suffix in (".cnf", ".conf"))
    else:
        yield path
