"""Questions that people ask of the tables, as SQL that stands for itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and the SQL that answers it."""

    title: str
    sql: str


OWED: Final = Question(
    "What do we owe, and where?",
    """\
SELECT s.account_name, t.currency, sum(t.invoices) AS open_invoices,
       sum(t.amount_remaining_major) AS owed
FROM invoice_totals t JOIN sync_state s USING (account_id)
WHERE t.status = 'open'
GROUP BY 1, 2 ORDER BY 1, 2""",
)

SPENT_PER_MONTH: Final = Question(
    "What did we pay per month?",
    """\
SELECT month, currency, sum(amount_paid_major) AS paid
FROM invoice_totals
WHERE month >= (SELECT max(month) FROM invoice_totals) - interval '2 months'
GROUP BY 1, 2 ORDER BY 1 DESC, 2""",
)

FRESHNESS: Final = Question(
    "Which account's figures can I rely on?",
    """\
SELECT f.account_name, f.last_complete_at IS NOT NULL AS ever_complete, f.stale, s.last_error_kind
FROM sync_freshness f JOIN sync_state s USING (account_id)
ORDER BY f.stale DESC, 1""",
)

CHANGES: Final = Question(
    "What changed after the first load?",
    """\
SELECT s.account_name, c.invoice_id, c.change,
       c.before ->> 'status' AS before, coalesce(c.after ->> 'status', i.status) AS after
FROM invoice_changes c
JOIN sync_state s USING (account_id)
JOIN invoices i ON i.account_id = c.account_id AND i.id = c.invoice_id
WHERE c.observed_at > (SELECT min(first_seen_at) FROM invoices WHERE account_id = c.account_id)
ORDER BY c.observed_at, c.change""",
)


@dataclass(frozen=True, slots=True)
class Reply:
    """The columns and rows of an answer."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


async def ask(conn: AsyncConnection, question: Question) -> Reply:
    """Put a question to the database."""
    result = await conn.execute(text(question.sql))
    return Reply(tuple(result.keys()), result.all())
