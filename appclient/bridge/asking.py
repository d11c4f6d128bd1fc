"""Questions that a blocking `connect` answers in the thread that called it, while the loop's thread waits.

A desktop application calls `connect` in the thread that its windows live in: there its callback may show a
dialog, and in the loop's thread it may not.
"""

from __future__ import annotations

import inspect
import queue
from collections.abc import Callable
from typing import Any, TypeAlias

import attrs
import trio

from appclient.asking import ServerFacts
from appclient.bridge.outcome import Outcome

BlockingAsk: TypeAlias = Callable[[ServerFacts], bool]
"""Answers whether to trust a server; anything but True is no."""


@attrs.define(eq=False)
class _Question:
    facts: ServerFacts
    answered: trio.Event = attrs.field(factory=trio.Event)
    answer: object = False


class Questions:
    """Carries questions from the loop's thread to the one that connects.

    Args:
        ask: called in the thread that calls `answer_until`.
        post: has a function called in the loop's thread soon.

    Raises:
        TypeError: `ask` is an async function.
    """

    def __init__(self, ask: BlockingAsk, post: Callable[[Callable[[], object]], object]) -> None:
        if inspect.iscoroutinefunction(ask):
            raise TypeError("ask is a plain function here: there is no loop that could run an async one")
        self._ask = ask
        self._post = post
        self._waiting: queue.SimpleQueue[_Question | None] = queue.SimpleQueue()

    async def ask(self, facts: ServerFacts) -> bool:
        """Ask from the loop's thread."""
        question = _Question(facts)
        self._waiting.put(question)
        await question.answered.wait()
        return question.answer is True

    def answer_until(self, done: Outcome[Any]) -> None:
        """Answer what is asked until something is there; what the callback raises is raised here."""
        done.on_done(lambda: self._waiting.put(None))
        while (question := self._waiting.get()) is not None:
            question.answer = self._ask(question.facts)
            self._post(question.answered.set)
