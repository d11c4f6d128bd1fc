"""Driving one coroutine inside another, to see where it first suspends.

A task that reads calls runs each handler itself, for most handlers never wait. Where one does, the
reading must go on: so the reading task has to learn of the first suspension, hand its role to another
task, and then see the handler to its end. That is all that happens here; what a coroutine
yields and is sent stays between it and trio.
"""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, TypeVar, cast

T = TypeVar("T")


def begin(coroutine: Coroutine[Any, Any, object], context: Context) -> object:
    """Run a coroutine up to its first suspension.

    Args:
        coroutine: not started yet.
        context: the context variables it runs with; what it sets stays in there.

    Returns:
        What it yielded, for `finish`.

    Raises:
        StopIteration: it has ended without suspending, with this value.
    """
    try:
        return context.run(coroutine.send, None)
    except GeneratorExit as exc:  # the coroutine's own; nobody is closing this one
        raise RuntimeError("the coroutine raised GeneratorExit") from exc


def finish(coroutine: Coroutine[Any, Any, T], context: Context, trap: object) -> Awaitable[T]:
    """Run a coroutine that has suspended to its end, in the calling task.

    Args:
        coroutine: as it was begun.
        context: likewise.
        trap: what it yielded.

    Returns:
        What to await: the coroutine's result.
    """
    return cast(Awaitable[T], _drive(coroutine, context, trap))


@types.coroutine
def _drive(coroutine: Coroutine[Any, Any, T], context: Context, trap: object) -> Generator[Any, Any, T]:
    run = context.run
    while True:
        try:
            answer = yield trap
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as exc:
            step: Callable[[Any], Any] = coroutine.throw
            argument: Any = exc
        else:
            step, argument = coroutine.send, answer
        try:
            trap = run(step, argument)
        except StopIteration as stop:
            return cast(T, stop.value)
        except GeneratorExit as exc:
            raise RuntimeError("the coroutine raised GeneratorExit") from exc
