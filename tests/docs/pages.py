"""Documents taken apart: their fenced blocks, their links and their tables.

A block's first word names its language; for Python the second one says what it is:

- none: a module. It is run; a first line `# name.py` makes it importable by that name, and its functions
  `test_*` are run as tests.
- `client`: run inside `async with loopback(app) as client`, with `orders` in reach, one after another.
- `address`: run in a thread against a server on a real port, whose address is the name `address`.
- `fragment`: compiled alone.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import CodeType

import attrs

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^```(\w*)[ ]?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_MODULE = re.compile(r"# (\w+)\.py\n")


@attrs.frozen
class Block:
    """One fenced block."""

    page: Path
    line: int
    language: str
    kind: str
    text: str

    @property
    def module(self) -> str | None:
        """The name under which it is importable."""
        found = _MODULE.match(self.text)
        return found[1] if found else None

    def compile(self) -> CodeType:
        """Its code; a traceback names the document's own lines."""
        lines = "\n" * self.line + self.text
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code: CodeType = compile(lines, str(self.page), "exec", flags=flags, dont_inherit=True)
        return code


def blocks(page: Path, language: str = "python") -> list[Block]:
    """The fenced blocks of one language."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2].strip(), found[3])
        for found in _FENCE.finditer(text)
        if found[1] == language
    ]


def links(page: Path) -> list[str]:
    """Where a document's links lead, within this repository."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return [link for link in _LINK.findall(prose) if "://" not in link and not link.startswith("mailto:")]


def anchors(page: Path) -> set[str]:
    """What a link may name behind `#`, as GitHub derives it from the headings."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w\- ]", "", heading.lower().strip()).replace(" ", "-")
        for heading in _HEADING.findall(prose)
    }


def table(page: Path, first: str) -> list[list[str]]:
    """The rows of all tables whose first column has this title, as cells."""
    rows: list[list[str]] = []
    inside = False
    for line in page.read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            inside = False
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells[0] == first:
            inside = True
        elif inside and not set(cells[0]) <= {"-", ":"}:
            rows.append(cells)
    return rows
