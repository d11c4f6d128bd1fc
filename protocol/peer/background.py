"""Tasks that serve a body: they end with it, and its exception leaves as itself.

A plain nursery would wrap what the body raises in a group of one; whoever calls a library expects
`except OutOfStock` around its context manager to work.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def open_background() -> AsyncIterator[trio.Nursery]:
    """Open a nursery whose tasks are cancelled when the body ends.

    What a task raises is a group, as from any nursery: a task of a library has no business raising.
    """
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        except trio.Cancelled:
            raise
        except BaseException as exc:
            failure = exc
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


def first_of(error: BaseException) -> BaseException:
    """An exception out of a group of groups, for a message that has room for one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
