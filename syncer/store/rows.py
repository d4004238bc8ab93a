"""What the statements about rows of invoices have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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

# Large enough that round trips don't count, small enough that one statement's memory doesn't.
_ROWS_PER_STATEMENT = 2000


def in_slices(rows: Sequence[_Row]) -> Iterator[Sequence[_Row]]:
    """Cut rows into what one statement takes, at most 2,000 of them."""
    for start in range(0, len(rows), _ROWS_PER_STATEMENT):
        yield rows[start : start + _ROWS_PER_STATEMENT]
