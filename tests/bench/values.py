"""What travels besides two numbers: the rows, the same for every peer. It imports attrs and nothing of ours."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

import attrs

ROWS = 100


@attrs.frozen
class Row:
    """A row as a list of orders shows it."""

    number: int
    article: str
    price: Decimal
    due: date
    key: UUID
    paid: bool


def sample_rows() -> list[Row]:
    """A hundred rows."""
    return [
        Row(
            number,
            f"article {number}",
            Decimal(number * 100 + 99) / 100,
            date(2025, 1, 1) + timedelta(days=number),
            UUID(int=number << 64 | 1),
            number % 2 == 0,
        )
        for number in range(ROWS)
    ]
