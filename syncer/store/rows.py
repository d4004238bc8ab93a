"""What the statements about rows of invoices have in common."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_Row = TypeVar("_Row")

# Columns of `invoices` that are not an invoice's content: the history leaves them out.
BOOKKEEPING = (
    "account_id",
    "invoice_pdf",
    "invoice_pdf_at",
    "first_seen_at",
    "changed_at",
    "missing_since",
)

# Those of an invoice's texts that may be long.
INVOICE_TEXTS = attrgetter(
    "id",
    "status",
    "currency",
    "created_by",
    "description",
    "invoice_origin",
    "invoice_pdf",
    "extra",
)

# Large enough that round trips don't count, small enough that one statement's memory doesn't:
# PostgreSQL takes no message of more than a gigabyte.
_ROWS_PER_STATEMENT = 2000
_CHARACTERS_PER_STATEMENT = 4_000_000


def in_slices(
    rows: Sequence[_Row], texts: Callable[[_Row], tuple[str | None, ...]]
) -> Iterator[Sequence[_Row]]:
    """Cut rows into what one statement takes, at most 2,000 of them; long ones stand alone.

    `texts` are those of a row's columns that may be long.
    """
    start = characters = 0
    for end, row in enumerate(rows):
        length = sum(len(text) for text in texts(row) if text)
        characters += length
        if end - start == _ROWS_PER_STATEMENT or characters > _CHARACTERS_PER_STATEMENT:
            if end > start:
                yield rows[start:end]
            start, characters = end, length
    if start < len(rows):
        yield rows[start:]
