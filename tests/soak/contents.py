"""Whether the database says what the API says, and whether its own books balance."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from syncer.demo.account import SimulatedAccount
    from syncer.demo.faults import JsonObject
    from tests.soak.server import Server

AMOUNTS: Final = ("amount_due", "amount_paid", "amount_remaining")
FIELDS: Final = (
    *("id", "status", "currency", "attempt_count", "attempted", "auto_advance", "created_by"),
    *("description", "invoice_origin"),
)
_DOCUMENTED: Final = {*AMOUNTS, *FIELDS, "created", "invoice_pdf"}

# Each row of an invoice's history begins where the one before it ended, and the last one ends with
# what is stored. A missing invoice has no `after`: it stays as it was.
_BROKEN_CHAINS: Final = """
WITH steps AS (
    SELECT
        id, account_id, invoice_id, change, before, coalesce(after, before) AS after,
        lag(coalesce(after, before)) OVER invoice AS previous,
        lag(change) OVER invoice AS previous_change,
        row_number() OVER (PARTITION BY account_id, invoice_id ORDER BY id DESC) AS from_last
    FROM invoice_history
    WINDOW invoice AS (PARTITION BY account_id, invoice_id ORDER BY id)
)
SELECT steps.account_id, steps.invoice_id, steps.id, steps.change
FROM steps
LEFT JOIN invoices ON invoices.account_id = steps.account_id AND invoices.id = invoice_id
WHERE invoices.id IS NULL
    OR previous IS NOT NULL AND previous <> before
    OR change = 'changed' AND before = after
    OR (change = 'reappeared') <> (previous_change IS NOT DISTINCT FROM 'missing')
    OR from_last = 1 AND (
        (change = 'missing') <> (missing_since IS NOT NULL)
        OR after <> to_jsonb(invoices) - ARRAY[
            'account_id', 'invoice_pdf', 'invoice_pdf_at', 'first_seen_at', 'changed_at',
            'missing_since'
        ]
    )
"""

_BOOKS: Final = """
SELECT
    (SELECT count(*) FROM invoices) AS stored,
    (SELECT coalesce(sum(inserted), 0) FROM account_syncs) AS inserted,
    (SELECT count(*) FROM invoice_history WHERE change <> 'missing') AS changes,
    (SELECT coalesce(sum(updated), 0) FROM account_syncs) AS updated,
    (SELECT count(*) FROM invoice_history WHERE change = 'missing') AS marked,
    (SELECT coalesce(sum(missing), 0) FROM account_syncs) AS missing
"""


async def differences(server: Server, accounts: Sequence[SimulatedAccount]) -> Iterator[str]:
    """Compare all invoices that are not missing with all that the API lists, whole."""
    stored = {
        (row["account_id"], row["id"]): row
        for row in await server.rows("SELECT * FROM invoices WHERE missing_since IS NULL")
    }
    listed = {(account.id, one["id"]): one for account in accounts for one in account.invoices}

    def each() -> Iterator[str]:
        for key in stored.keys() ^ listed.keys():
            yield f"{key} is {'stored' if key in stored else 'listed'} alone"
        for key in stored.keys() & listed.keys():
            if _content(stored[key]) != _wire_content(listed[key]):
                yield f"{key} is {_content(stored[key])}, the API says {_wire_content(listed[key])}"

    return each()


async def imbalances(server: Server) -> Iterator[str]:
    """Compare the journal's sums with the rows, and each row of the history with its neighbours."""
    books = await server.row(_BOOKS)
    broken = await server.rows(_BROKEN_CHAINS)

    def each() -> Iterator[str]:
        for rows, count in (("stored", "inserted"), ("changes", "updated"), ("marked", "missing")):
            if books[rows] != books[count]:
                yield f"{books[rows]} rows {rows}, but the journal's {count} sum to {books[count]}"
        for row in broken:
            yield f"the history of {row} does not follow"

    return each()


def _content(row: dict[str, Any]) -> dict[str, Any]:
    link = row["invoice_pdf"]
    return {
        **{name: row[name] for name in (*FIELDS, *AMOUNTS, "created_at")},
        "extra": json.loads(row["extra"] or "{}"),
        # Issued anew at each fetch; a stored one is renewed with the next change.
        "link": link and link.partition("&issue=")[0],
    }


def _wire_content(invoice: JsonObject) -> dict[str, Any]:
    return {
        **{name: invoice[name] for name in FIELDS},
        **{name: Decimal(invoice[name]) for name in AMOUNTS},
        "created_at": datetime.fromtimestamp(invoice["created"], UTC),
        "extra": {name: one for name, one in invoice.items() if name not in _DOCUMENTED},
        "link": invoice["invoice_pdf"],
    }
