"""`Stream[T]`: many values as one parameter or one result.

The class here is the one that application code builds, around an iterable of its own. The streams
that arrive from the other side are subclasses made by the room that runs calls, which override the
iteration; code that receives a stream sees no difference. There is no event loop in this module:
wrapping an iterable in an async iteration needs none.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

from protocol.wire.errors import LocalProtocolError

T_co = TypeVar("T_co", covariant=True)


class Stream(Generic[T_co]):
    """A stream of values, sent as they are taken and taken as fast as the receiver consumes.

    Whoever sends builds one around an iterable or an async iterable (a generator, a list, a cursor).
    Whoever receives iterates, best inside `async with`, which ends the stream early when left early::

        async with orders.follow(since) as changes:
            async for order in changes:
                ...

    Args:
        source: what gives the values; it is iterated once.
    """

    def __init__(self, source: Iterable[T_co] | AsyncIterable[T_co]) -> None:
        if not isinstance(source, (AsyncIterable, Iterable)):
            raise TypeError(f"a Stream wraps an iterable or an async iterable, not {type(source).__name__}")
        self._source = source

    @property
    def source(self) -> Iterable[T_co] | AsyncIterable[T_co]:
        """What gives the values, as given."""
        return self._source

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[T_co]:
        source = self._source
        return source.__aiter__() if isinstance(source, AsyncIterable) else _Steps(source)

    async def aclose(self) -> None:
        """End the stream: a source that is a generator is closed, so that its `finally` blocks run."""
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await close()
        else:
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[T_co]:
        """Iterate in blocking code.

        Raises:
            LocalProtocolError: the source can only be iterated with `async for`.
        """
        if isinstance(self._source, AsyncIterable):
            raise LocalProtocolError("this stream is asynchronous: iterate it with `async for`")
        return iter(self._source)

    def close(self) -> None:
        """End the stream in blocking code; see `aclose`.

        Raises:
            LocalProtocolError: the source can only be closed with `aclose`.
        """
        if hasattr(self._source, "aclose"):
            raise LocalProtocolError("this stream is asynchronous: leave it with `async with`")
        close = getattr(self._source, "close", None)
        if close is not None:
            close()


class _Steps(AsyncIterator[T_co]):
    """The async iteration over a plain iterable.

    Not an async generator: one that is left early would have to be closed, and its owner does not see it.
    """

    def __init__(self, source: Iterable[T_co]) -> None:
        self._steps = iter(source)

    async def __anext__(self) -> T_co:
        try:
            return next(self._steps)
        except StopIteration:
            raise StopAsyncIteration from None
