"""What `appserver certificates` does: the functions of `protocol.certs` with the settings' values, and texts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import attrs

from appserver.cli.asking import ask, ask_secret
from appserver.cli.certificate_texts import (
    description_lines,
    findings_lines,
    installed_lines,
    key_lines,
    request_lines,
)
from appserver.cli.options import ServerOptions
from appserver.cli.printing import printable
from protocol.certs import (
    Installed,
    KeyType,
    Subject,
    check_resources,
    client_resources_folder,
    demand_passphrase,
    describe_file,
    describe_resources,
    import_pkcs12,
    install_certificates,
    make_key_pair,
    read_passphrase,
    renew_server_certificate,
    server_resources_folder,
    write_request,
)
from protocol.certs.identity import CERT_FILE, KEY_FILE
from protocol.settings import LoadedSettings, TlsSettings, load_settings
from protocol.settings.checks import is_host


@attrs.frozen
class Place:
    """Where a command works.

    Attributes:
        loaded: the settings.
        folder: the server's Resources folder.
    """

    loaded: LoadedSettings
    folder: Path

    @property
    def tls(self) -> TlsSettings:
        """The section `[tls]`."""
        return self.loaded.settings.tls


@attrs.frozen
class Outcome:
    """What a command has to say.

    Attributes:
        data: as JSON has it.
        lines: for people.
        status: of the process.
    """

    data: Mapping[str, object]
    lines: Sequence[str]
    status: int = 0


def find_place(options: ServerOptions) -> Place:
    """Find the server's Resources folder.

    Args:
        options: which settings and which folder.

    Raises:
        SettingsError: the settings cannot be used.
    """
    loaded = load_settings(options.settings)
    return Place(loaded, server_resources_folder(loaded, options.resources))


def say(outcome: Outcome, *, as_json: bool) -> int:
    """Print what a command has to say; returns the status."""
    if as_json:
        print(json.dumps(outcome.data, default=_plain))
    else:
        print(printable("\n".join(outcome.lines)))
    return outcome.status


def make_key(place: Place, *, rsa: bool, replace: bool) -> Outcome:
    """`certificates keypair`."""
    passphrase = demand_passphrase(place.tls, place.folder / KEY_FILE)
    made = make_key_pair(place.folder, key_type=_key_type(place, rsa), passphrase=passphrase, replace=replace)
    return Outcome(_data(made), key_lines(made))


def request(
    place: Place, fields: Mapping[str, str | None], names: Sequence[str], *, out: Path | None, asking: bool
) -> Outcome:
    """`certificates request`.

    Args:
        place: where.
        fields: the six of the subject, by the names of `Subject`.
        names: of the server.
        out: the file.
        asking: whether to ask for what is missing.
    """
    wanted = list(names or place.tls.names)
    if asking:
        fields, wanted = _ask_for_missing(fields, wanted)
    common_name = fields["common_name"]
    if not wanted and common_name is not None and is_host(common_name):
        wanted = [common_name]
    written = write_request(
        place.folder, Subject(**fields), wanted, file=out, passphrase=read_passphrase(place.tls)
    )
    return Outcome(_data(written), request_lines(written))


def install(place: Place, files: Sequence[Path]) -> Outcome:
    """`certificates install`."""
    installed = install_certificates(place.folder, files, passphrase=read_passphrase(place.tls))
    return _installed(installed)


def import_file(place: Place, file: Path, file_passphrase: bytes | None) -> Outcome:
    """`certificates import`."""
    passphrase = demand_passphrase(place.tls, place.folder / KEY_FILE)
    installed = import_pkcs12(place.folder, file, file_passphrase=file_passphrase, passphrase=passphrase)
    return _installed(installed)


def file_passphrase(file: Path, source: Path | None, variable: str | None, *, asking: bool) -> bytes | None:
    """Find the passphrase of a PKCS#12 file.

    Args:
        file: that file.
        source: file with the passphrase.
        variable: environment variable with the passphrase.
        asking: whether to ask for it on the terminal.
    """
    if source is not None or variable is not None:
        return demand_passphrase(TlsSettings(passphrase_file=source, passphrase_variable=variable), file)
    return ask_secret(f"passphrase of {file}").encode() if asking else None


def show(place: Place, file: Path | None) -> Outcome:
    """`certificates show`."""
    described = describe_resources(place.folder) if file is None else describe_file(file)
    if not place.tls.auto_certificate:
        described = attrs.evolve(described, renewal=None)
    return Outcome(_data(described), description_lines(described))


def check(place: Place, client: Path | None) -> Outcome:
    """`certificates check`."""
    client_folder = client_resources_folder(place.loaded, client)
    found = check_resources(
        place.folder,
        client_folder,
        passphrase=read_passphrase(place.tls),
        makes_missing=place.tls.auto_certificate,
    )
    folders = [str(folder) for folder in (place.folder, client_folder) if folder is not None]
    problems = [
        {"file": error.file, "error": type(error).__name__, "finding": error.finding, "remedy": error.remedy}
        for error in found
    ]
    data = {"ok": not found, "folders": folders, "problems": problems}
    absent = not os.path.lexists(place.folder / CERT_FILE)
    return Outcome(data, findings_lines(folders, found, made_at_start=absent), 1 if found else 0)


def renew(place: Place, *, new_key: bool, rsa: bool) -> Outcome:
    """`certificates renew`."""
    installed = renew_server_certificate(
        place.folder,
        names=place.tls.names,
        new_key=new_key,
        key_type=_key_type(place, rsa),
        passphrase=demand_passphrase(place.tls, place.folder / KEY_FILE),
    )
    return _installed(installed)


def _key_type(place: Place, rsa: bool) -> KeyType:
    return "rsa3072" if rsa else place.tls.key_type


def _installed(installed: Installed) -> Outcome:
    return Outcome(_data(installed), installed_lines(installed))


def _ask_for_missing(
    fields: Mapping[str, str | None], names: Sequence[str]
) -> tuple[dict[str, str | None], list[str]]:
    answer = ask("host names and addresses of the server, with commas", ",".join(names)) or ""
    wanted = [name.strip() for name in answer.split(",") if name.strip()]
    questions = {
        "common_name": "common name (CN)",
        "organization": "organization (O)",
        "organizational_unit": "organizational unit (OU)",
        "locality": "locality (L)",
        "state": "state or province (ST)",
        "country": "country, two letters (C)",
    }
    first = wanted[0] if wanted else None
    filled = {
        field: value
        if value is not None
        else ask(questions[field], first if field == "common_name" else None)
        for field, value in fields.items()
    }
    return filled, wanted


def _data(value: attrs.AttrsInstance) -> dict[str, object]:
    return attrs.asdict(value)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
