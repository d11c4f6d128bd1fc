"""Running the code of a document."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.docs.pages import Block


@contextmanager
def document(blocks: Iterable[Block]) -> Iterator[types.ModuleType]:
    """Run a document's modules in order; what they define is in reach of its other blocks.

    Yields:
        A module with everything that they defined.
    """
    joined = types.ModuleType("document")
    names: list[str] = []
    try:
        for block in blocks:
            if block.kind:
                continue
            module = types.ModuleType(block.module or "document_part")
            if block.module is not None:
                assert block.module not in sys.modules, f"{block.module} would hide a module"
                names.append(block.module)
            sys.modules[module.__name__] = module
            exec(block.compile(), module.__dict__)
            for name, value in vars(module).items():
                if not name.startswith("__"):
                    setattr(joined, name, value)
        yield joined
    finally:
        for name in [*names, "document_part"]:
            sys.modules.pop(name, None)


async def run(block: Block, namespace: dict[str, Any]) -> None:
    """Run a block that may hold `await` at its top level."""
    result = eval(block.compile(), namespace)
    if inspect.iscoroutine(result):
        await result
