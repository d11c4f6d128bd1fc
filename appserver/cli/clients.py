"""The commands `appserver invite` and `appserver clients`: their arguments; what they do is imported when called."""

from __future__ import annotations

from cyclopts import App

from appserver.cli.options import Flag, ServerOptions

clients_app = App("clients", help="Clients with a certificate of this server: list, revoke, require.")


def invite(
    name: str,
    /,
    *,
    expires: str = "1h",
    address: str | None = None,
    replace: Flag = False,
    options: ServerOptions = ServerOptions(),  # noqa: B008 - frozen
) -> int:
    """Make a code by which one client gets a certificate: appclient join CODE.

    Whether clients without one are let in stays as it is; the output says so, and appserver clients require
    changes it.

    Args:
        name: of the client; it becomes the name in its certificate.
        expires: how long the code holds, as 30m, 1h or 7d.
        address: how the client reaches the server, as host:port; from the settings without.
        replace: let it take the place of the client that has the name; that one is revoked when the code is used.
        options: settings and output.
    """
    from appserver.cli import client_commands as commands
    from appserver.cli.certificate_commands import find_place, say

    place = find_place(options)
    return say(
        commands.invite(place, name, expires=expires, address=address, replace=replace), as_json=options.json
    )


@clients_app.command(name="list")
def list_(
    *,
    options: ServerOptions = ServerOptions(),  # noqa: B008 - frozen
) -> int:
    """List the clients that have joined, and those that are invited.

    Args:
        options: settings and output.
    """
    from appserver.cli import client_commands as commands
    from appserver.cli.certificate_commands import find_place, say

    return say(commands.list_all(find_place(options)), as_json=options.json)


@clients_app.command
def revoke(
    name: str,
    /,
    *,
    options: ServerOptions = ServerOptions(),  # noqa: B008 - frozen
) -> int:
    """Revoke a client's certificates, and make open codes for it worthless.

    Args:
        name: of the client.
        options: settings and output.
    """
    from appserver.cli import client_commands as commands
    from appserver.cli.certificate_commands import find_place, say

    return say(commands.revoke(find_place(options), name), as_json=options.json)


@clients_app.command
def require(
    *,
    options: ServerOptions = ServerOptions(),  # noqa: B008 - frozen
) -> int:
    """Refuse clients without a certificate from now on; those that are connected are sent away.

    It adds this server's own authority to clients-ca.pem. Removing that file undoes it.

    Args:
        options: settings and output.
    """
    from appserver.cli import client_commands as commands
    from appserver.cli.certificate_commands import find_place, say

    return say(commands.require(find_place(options)), as_json=options.json)
