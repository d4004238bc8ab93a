"""Invoices that the API lists no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from syncer.store.rows import BOOKKEEPING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

# An account with no more invoices than these may well lose most of them.
_FEW_INVOICES = 20

# EXCEPT hashes or sorts both sides whatever the statistics say; an anti-join on a table without
# statistics may compare every row with every other.
#
# A walk that was not complete adds what it saw as well. Were that counted, what the API wrongly
# serves today would tomorrow make up for what it lacks.
_FIND = text("""
WITH live AS MATERIALIZED (
    SELECT
        id,
        first_seen_at <= coalesce(
            (SELECT last_complete_at FROM sync_state WHERE account_id = cast(:account_id AS text)),
            'infinity'
        ) AS confirmed
    FROM invoices
    WHERE account_id = cast(:account_id AS text) AND missing_since IS NULL
),
listed AS MATERIALIZED (
    SELECT unnest(cast(:listed AS text[])) AS id
),
gone AS (
    SELECT id FROM live WHERE confirmed EXCEPT SELECT id FROM listed
)
SELECT
    (SELECT count(*) FROM live WHERE confirmed) AS live,
    (SELECT count(*) FROM gone) AS gone,
    ARRAY(SELECT id FROM live EXCEPT SELECT id FROM listed) AS absent
""")

_MARK = text("""
WITH marked AS (
    UPDATE invoices
    SET missing_since = now()
    WHERE account_id = cast(:account_id AS text) AND id = ANY (cast(:absent AS text[]))
    RETURNING *
)
INSERT INTO invoice_history (account_id, invoice_id, run_id, observed_at, change, before, after)
SELECT
    account_id, id, cast(:run_id AS uuid), now(), 'missing',
    to_jsonb(marked) - cast(:bookkeeping AS text[]), NULL
FROM marked
""")


@dataclass(frozen=True, slots=True)
class Absence:
    """Which invoices of an account the API was last known to list, and lacks now.

    `absent` names all of them. `live` counts the invoices that were not missing when the account
    was last complete (all that are stored where it never was), `gone` how many of these are absent.
    """

    live: int
    gone: int
    absent: Sequence[str]


def is_mass_disappearance(absence: Absence) -> bool:
    """Tell whether so much is absent that the API is to be doubted: most of more than a few."""
    return absence.live > _FEW_INVOICES and absence.gone * 2 > absence.live


async def find_absence(
    conn: AsyncConnection, account_id: str, listed: frozenset[str] | None
) -> Absence:
    """Compare the stored invoices with the ids that the API lists; None proves no absence.

    To be asked before the walk itself is stored, as its invoices or as the account's state.
    """
    if listed is None:
        return Absence(live=0, gone=0, absent=())
    values = {"account_id": account_id, "listed": list(listed)}
    found = (await conn.execute(_FIND, values)).one()
    return Absence(live=found.live, gone=found.gone, absent=found.absent)


async def mark_missing(
    conn: AsyncConnection, account_id: str, run_id: UUID, absent: Sequence[str]
) -> None:
    """Mark invoices missing, and say so in the history; the caller owns the transaction."""
    if absent:
        values = {
            "account_id": account_id,
            "run_id": run_id,
            "absent": absent,
            "bookkeeping": BOOKKEEPING,
        }
        await conn.execute(_MARK, values)
