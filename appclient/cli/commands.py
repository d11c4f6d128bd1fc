"""The commands of `appclient`: their arguments and what they do, in a few lines each.

Everything is known from the server's own description: the interface's Python classes are not needed.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import trio
from cyclopts import App, Parameter

from appclient import Client, connect
from appclient.cli.arguments import UsageError, bind, split_name
from appclient.cli.calling import make_call
from appclient.cli.described import choose, read_interface
from appclient.cli.describing import interface_text
from appclient.cli.joining import join_server
from appclient.cli.options import Options
from appclient.cli.output import print_json, print_text
from appclient.cli.python_source import contract_source
from appclient.cli.trusting import forget as forget_one
from appclient.cli.trusting import list_servers, trust_server


def version() -> str:
    """The version that is installed."""
    from importlib.metadata import version  # with what reads e-mail, and seldom asked for

    return version("appserver")


app = App(
    "appclient",
    help="Talk to an application server: see its interfaces, call its methods, trust its key.",
    version=version,
    help_format="plaintext",
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
)


@app.command
def call(
    address: str,
    method: str,
    /,
    *arguments: Annotated[str, Parameter(allow_leading_hyphen=True)],
    output: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
    options: Options = Options(),  # noqa: B008 - frozen
) -> None:
    """Call a method and print its result.

    Arguments are JSON; what is not JSON is a text. A stream of results is printed one JSON value a line.

    Args:
        address: the server, as appserver://host:port/?pin=..., host:port or host.
        method: as Interface.method.
        arguments: in order; name=value for one by its name; @path (@- is standard input) for a file or, as
            JSON lines, for a stream.
        output: where to save a file that the method gives; - is standard output.
        options: connection and output.
    """
    interface, name = split_name(method)

    async def work(client: Client) -> None:
        described = choose(await client.describe(interface) or await client.describe(), interface)
        bound = bind(described, name, arguments)
        await make_call(client, bound, output=output, as_json=options.json)

    _run(address, options, work)


@app.command
def describe(
    address: str,
    interface: str | None = None,
    /,
    *,
    python: Annotated[bool, Parameter(negative=())] = False,
    blocking: Annotated[bool, Parameter(negative=())] = False,
    options: Options = Options(),  # noqa: B008 - frozen
) -> None:
    """Show the interfaces of a server: methods, events, errors, types.

    Args:
        address: the server, as appserver://host:port/?pin=..., host:port or host.
        interface: name of one; all without it.
        python: print a Python module with the contract class, to write a client against.
        blocking: with --python, for the blocking client: def in place of async def.
        options: connection and output.
    """
    if blocking and not python:
        raise UsageError("--blocking goes with --python")
    if python and options.json:
        raise UsageError("--python and --json exclude each other")

    async def work(client: Client) -> None:
        described = await client.describe(interface)
        if interface is not None and interface not in described:
            choose(await client.describe(), interface)  # raises, and names what there is
        if options.json:
            print_json(described[interface] if interface is not None else described)
            return
        interfaces = [read_interface(name, description) for name, description in described.items()]
        if python:
            print_text("\n\n".join(contract_source(each, blocking=blocking) for each in interfaces))
        else:
            print_text("\n\n".join(interface_text(each) for each in interfaces) or "no interfaces")

    _run(address, options, work)


@app.command
def trust(
    address: str | None = None,
    /,
    *,
    fingerprint: str | None = None,
    list_known: Annotated[bool, Parameter(name="--list", negative=())] = False,
    forget: Annotated[bool, Parameter(negative=())] = False,
    options: Options = Options(),  # noqa: B008 - frozen
) -> None:
    """Look at a server's certificate and trust its key; --list and --forget show and reset that.

    On a terminal it asks; elsewhere it needs --fingerprint. Keys are kept in known_servers.toml of the client's
    Resources folder. A key that has changed is never asked about.

    Args:
        address: the server, as host:port or host.
        fingerprint: of the server's key, as its administrator says it: store it without asking if it is that.
        list_known: show the servers that are known, with the date when each was first seen.
        forget: forget the server: its key, and that it was encrypted.
        options: connection and output.
    """
    if list_known:
        if address is not None or forget or fingerprint is not None:
            raise UsageError("--list stands alone")
        list_servers(options)
        return
    if address is None:
        raise UsageError("which server? Name it as host:port; --list shows those that are known")
    if forget:
        if fingerprint is not None:
            raise UsageError("--forget and --fingerprint exclude each other")
        forget_one(address, options)
        return
    trio.run(partial(_limited, options.timeout, partial(trust_server, address, fingerprint, options)))


@app.command(name="join")
def join_command(
    code: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    replace: Annotated[bool, Parameter(negative=())] = False,
    options: Options = Options(),  # noqa: B008 - frozen
) -> None:
    """Get a certificate for this client by the code of an invitation (appserver invite).

    The key is made here and stays here. Whatever ends the command, it may be given again with the same code.

    Args:
        code: of the invitation; - reads it from standard input, where no list of processes shows it.
        replace: replace the certificate and key that are there, and keep them beside.
        options: connection and output.
    """
    trio.run(partial(_limited, options.timeout, partial(join_server, code, replace=replace, options=options)))


async def _limited(seconds: float | None, work: Callable[[], Awaitable[None]]) -> None:
    with _limit(seconds):
        await work()


def _run(address: str, options: Options, work: Callable[[Client], Awaitable[Any]]) -> None:
    trio.run(partial(_connected, address, options, work))


async def _connected(address: str, options: Options, work: Callable[[Client], Awaitable[Any]]) -> None:
    with _limit(options.timeout):
        async with _client(address, options) as client:
            await work(client)


@contextlib.asynccontextmanager
async def _client(address: str, options: Options) -> AsyncIterator[Client]:
    async with connect(
        address, resources=options.resources, settings=options.settings, application="appclient"
    ) as client:
        yield client


def _limit(seconds: float | None) -> contextlib.AbstractContextManager[object]:
    if seconds is None:
        return contextlib.nullcontext()
    if not seconds > 0:
        raise UsageError("--timeout is a number of seconds greater than 0")
    return trio.fail_after(seconds)
