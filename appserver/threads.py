"""`in_thread`: a plain function as a handler of a contract that is written with `async def`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")


def in_thread(handler: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Tell a type checker that a `def` handler implements an `async def` method.

    For example::

        class Desk(Orders):
            @in_thread
            def find(self, number: int) -> Order:
                return self._database.find(number)      # may block: it runs in a worker thread

    At run time it changes nothing: every `def` handler runs in a worker thread. What is lost is the direct call
    of the method, which a test makes on the harness instead.

    Args:
        handler: the method.
    """
    return cast("Callable[P, Coroutine[Any, Any, T]]", handler)
