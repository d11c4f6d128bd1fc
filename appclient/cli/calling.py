"""Making a call that is known only from the server's description, and printing what comes."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appclient import Client
from appclient.cli.arguments import BoundCall, UsageError
from appclient.cli.output import print_item, print_result
from protocol.interface import Channel, Converter, Method, Stream
from protocol.interface.blob import Blob, Progress
from protocol.peer import PeerCaller

STANDARD_OUTPUT = Path("-")


def method_of(call: BoundCall) -> Method:
    """A method whose arguments are plain values already, and whose results stay plain.

    Args:
        call: whose method; its converters pass every value on.
    """
    described = call.method
    passing = Converter("a plain value", _pass, _pass, "any", (object,), (object,))
    return Method(
        described.name,
        f"{call.interface.name}.{described.name}",
        call.interface.name,
        described.takes,
        described.gives,
        lambda args, kwargs: (call.body, call.channel),
        lambda body, channel: ([], {}),  # this side is never called
        _pass,
        _pass,
        passing if described.takes is Channel.VALUES else None,
        passing if described.gives is Channel.VALUES else None,
        (),
        inspect.Signature(),
        described.doc,
    )


async def make_call(client: Client, call: BoundCall, *, output: Path | None, as_json: bool) -> None:
    """Make a call and print or save what comes.

    Args:
        client: connected.
        call: what to call.
        output: file for a blob, `-` for standard output, None where none is expected.
        as_json: print JSON in one line, for programs.

    Raises:
        CallError: the call failed.
        UsageError: the method gives a file and none was named for it, or the other way round.
    """
    check_output(call, output)
    answer = PeerCaller(client).call(method_of(call), (), {})
    if isinstance(answer, Blob):
        assert output is not None
        await _save(answer, output)
    elif isinstance(answer, Stream):
        async with answer:
            async for item in answer:
                print_item(item)
    else:
        print_result(await answer, as_json=as_json)


def check_output(call: BoundCall, output: Path | None) -> None:
    """Check that a file is named exactly where one comes, before anything is called.

    Raises:
        UsageError: it is not so.
    """
    name = f"{call.interface.name}.{call.method.name}"
    if call.method.gives is Channel.BYTES and output is None:
        raise UsageError(f"{name} gives a file: say where to with --output PATH (- is standard output)")
    if call.method.gives is not Channel.BYTES and output is not None:
        raise UsageError(f"{name} gives no file, so there is nothing for --output {output}")


async def _save(blob: Blob, output: Path) -> None:
    if output != STANDARD_OUTPUT:
        with _progress_bar(output.name) as progress:
            await blob.save(output, progress=progress)
        return
    async with blob:
        async for piece in blob:
            sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


@contextlib.contextmanager
def _progress_bar(title: str) -> Iterator[Progress | None]:
    """A progress bar where somebody can see it."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, size: bar.update(task, completed=done, total=size)


def _pass(value: Any) -> Any:
    return value
