"""Whether a connection is the only one of its loop that is busy: it decides what leaves at once and what together.

Where other connections have work for the loop meanwhile, messages of one connection wait for each other and leave in
one write. Where there is no other, the other side would have nothing to do meanwhile.
"""

from __future__ import annotations

import trio


class Company:
    """The busy connections of one loop.

    Attributes:
        last: the connection that was read last.
        changes: how often that has become another one.
    """

    __slots__ = ("changes", "last")

    def __init__(self) -> None:
        self.last: object = None
        self.changes = 0

    def note(self, connection: object) -> None:
        """A connection was read."""
        if connection is not self.last:
            self.last = connection
            self.changes += 1


_company: trio.lowlevel.RunVar[Company] = trio.lowlevel.RunVar("busy connections")


def current_company() -> Company:
    """That of the running loop."""
    try:
        return _company.get()
    except LookupError:
        company = Company()
        _company.set(company)
        return company
