"""`appclient join`: a certificate for the code of an invitation."""

from __future__ import annotations

import sys

import attrs
import trio

from appclient.cli.options import Options
from appclient.cli.output import print_item, print_text
from appclient.joining import join
from protocol.certs import Joined
from protocol.transport import format_location

STANDARD_INPUT = "-"
_LONGEST = 4096
"""Characters of a line that are read: a code has some hundred."""


async def join_server(code: str, *, replace: bool, options: Options) -> None:
    """Join, and say who this client is now.

    Args:
        code: of the invitation, or `-` for the first line of standard input.
        replace: whether an identity that is there may be replaced.
        options: connection and output.
    """
    if code == STANDARD_INPUT:
        code = await trio.to_thread.run_sync(sys.stdin.readline, _LONGEST, abandon_on_cancel=True)
    joined = await join(code, resources=options.resources, settings=options.settings, replace=replace)
    if options.json:
        print_item(_plain(joined))
    else:
        print_text("\n".join(_lines(joined)))


def _lines(joined: Joined) -> list[str]:
    return [
        f"joined       as {joined.name}",
        f"server       {format_location(joined.host, joined.port)}",
        f"folder       {joined.resources}",
        f"valid        until {joined.certificate.not_after:%Y-%m-%d %H:%M} UTC; renewed by itself while it is used",
        *(f"kept         {path}" for path in joined.kept),
    ]


def _plain(joined: Joined) -> dict[str, object]:
    return {
        "name": joined.name,
        "address": format_location(joined.host, joined.port),
        "resources": joined.resources,
        "certificate": attrs.asdict(joined.certificate),
        "kept": joined.kept,
    }
