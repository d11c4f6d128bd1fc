"""The commands of `appserver certificates`: their arguments; what they do is imported when called.

A further command, for other files of Resources, is a function more under `@certificates_app.command`; that for
dhparams.pem has a module of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from appserver.cli.dhparams_command import dhparams
from appserver.cli.options import Flag, ServerOptions

Names = Annotated[list[str] | None, Parameter(name="--name", negative=())]

certificates_app = App(
    "certificates", help="The server's key and certificate: make, request, install, check."
)
certificates_app.command(dhparams)


@certificates_app.command
def keypair(
    *,
    rsa: Flag = False,
    replace: Flag = False,
    options: ServerOptions = ServerOptions(),  # noqa: B008 - frozen
) -> int:
    """Make a private key, for a certificate that an authority will issue.

    It is encrypted where [tls] names a passphrase.

    Args:
        rsa: RSA with 3072 bits; tls.key_type without, which is p256 as a rule.
        replace: make one although there is one. The old key is kept; where it serves, it goes on until the
            certificate of the new one is installed.
        options: settings and output.
    """
    from appserver.cli import certificate_commands as commands

    place = commands.find_place(options)
    return commands.say(commands.make_key(place, rsa=rsa, replace=replace), as_json=options.json)


@certificates_app.command
def request(
    *,
    common_name: Annotated[str | None, Parameter(name=("--common-name", "--cn"))] = None,
    organization: Annotated[str | None, Parameter(name=("--organization", "-O"))] = None,
    organizational_unit: Annotated[str | None, Parameter(name=("--organizational-unit", "--ou"))] = None,
    locality: Annotated[str | None, Parameter(name=("--locality", "-L"))] = None,
    state: Annotated[str | None, Parameter(name=("--state", "--st"))] = None,
    country: Annotated[str | None, Parameter(name=("--country", "-C"))] = None,
    names: Names = None,
    out: Path | None = None,
    ask: Flag = False,
    options: ServerOptions = ServerOptions(),  # noqa: B008 - frozen
) -> int:
    """Write a certificate request (PKCS#10, PEM) for the key, to be sent to an authority.

    Args:
        common_name: CN; the first name without.
        organization: O, the legal name.
        organizational_unit: OU, the department.
        locality: L, the town.
        state: ST, the state or province.
        country: C, two letters.
        names: a host name (also *.example.com) or IP address that clients call the server; give it again
            for each further one. tls.names without, then the common name.
        out: the file; request.pem in Resources without.
        ask: ask on the terminal for what is not given.
        options: settings and output.
    """
    from appserver.cli import certificate_commands as commands

    fields = {
        "common_name": common_name,
        "organization": organization,
        "organizational_unit": organizational_unit,
        "locality": locality,
        "state": state,
        "country": country,
    }
    place = commands.find_place(options)
    return commands.say(
        commands.request(place, fields, names or [], out=out, asking=ask), as_json=options.json
    )


@certificates_app.command
def install(
    file: Path,
    /,
    *more: Path,
    options: ServerOptions = ServerOptions(),  # noqa: B008 - frozen
) -> int:
    """Install what the authority sent, after checking that it is for the key; the old files are kept beside.

    Args:
        file: PEM, DER or PKCS#7; a chain in any order, with or without the root.
        more: further files, where the chain came apart.
        options: settings and output.
    """
    from appserver.cli import certificate_commands as commands

    place = commands.find_place(options)
    return commands.say(commands.install(place, [file, *more]), as_json=options.json)


@certificates_app.command(name="import")
def import_(
    file: Path,
    /,
    *,
    passphrase_file: Path | None = None,
    passphrase_variable: str | None = None,
    ask: Flag = False,
    options: ServerOptions = ServerOptions(),  # noqa: B008 - frozen
) -> int:
    """Install key and certificate from a PKCS#12 file (.p12, .pfx); the old files are kept beside.

    Args:
        file: the PKCS#12 file.
        passphrase_file: file whose first line is its passphrase.
        passphrase_variable: environment variable that holds its passphrase.
        ask: ask on the terminal for its passphrase.
        options: settings and output.
    """
    from appserver.cli import certificate_commands as commands

    place = commands.find_place(options)
    passphrase = commands.file_passphrase(file, passphrase_file, passphrase_variable, asking=ask)
    return commands.say(commands.import_file(place, file, passphrase), as_json=options.json)


@certificates_app.command
def show(
    file: Path | None = None,
    /,
    *,
    options: ServerOptions = ServerOptions(),  # noqa: B008 - frozen
) -> int:
    """Show the certificate in force: whom it is for, who issued it, until when, and its fingerprints.

    Args:
        file: a certificate elsewhere instead.
        options: settings and output.
    """
    from appserver.cli import certificate_commands as commands

    return commands.say(commands.show(commands.find_place(options), file), as_json=options.json)


@certificates_app.command
def check(
    *,
    client_resources: Path | None = None,
    options: ServerOptions = ServerOptions(),  # noqa: B008 - frozen
) -> int:
    """Find everything that is wrong with the server's and the client's Resources; status 1 if anything is.

    Args:
        client_resources: the client's Resources folder; the client's own default without.
        options: settings and output.
    """
    from appserver.cli import certificate_commands as commands

    place = commands.find_place(options)
    return commands.say(commands.check(place, client_resources), as_json=options.json)


@certificates_app.command
def renew(
    *,
    new_key: Flag = False,
    rsa: Flag = False,
    options: ServerOptions = ServerOptions(),  # noqa: B008 - frozen
) -> int:
    """Renew the certificate of the server's own authority now, with the same key; the old files are kept beside.

    Args:
        new_key: with a new key: pins change, and clients that have one must be told.
        rsa: a new key is RSA with 3072 bits; tls.key_type without.
        options: settings and output.
    """
    from appserver.cli import certificate_commands as commands

    place = commands.find_place(options)
    return commands.say(commands.renew(place, new_key=new_key, rsa=rsa), as_json=options.json)
