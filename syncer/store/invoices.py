"""The merge: what a walk fetched, into the tables, rewriting nothing that did not change."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from sqlalchemy import text

from syncer.invoice import Invoice
from syncer.store.absence import Absence, find_absence, is_mass_disappearance, mark_missing
from syncer.store.load import can_load, load_invoices
from syncer.store.rejections import keep_rejections
from syncer.store.rows import BOOKKEEPING, INVOICE_TEXTS, in_slices

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from syncer.digests import PageDigests
    from syncer.invoice import Rejection

# Each stored row is found through the primary key (LATERAL with LIMIT, then ON CONFLICT): a plain
# join against a table without statistics may turn into a comparison of all rows with all rows.
#
# Only rows that are new or differ reach the INSERT, so that the others are neither rewritten nor
# locked. The caller holds the lock of the account's state row, so no other merge can come between
# the look and the INSERT: its ON CONFLICT is just how it finds the row to update.
_MERGE = text("""
WITH incoming AS MATERIALIZED (
    SELECT
        id, status, currency, amount_due, amount_paid, amount_remaining, attempt_count, attempted,
        auto_advance, created_at, created_by, description, invoice_origin, invoice_pdf,
        cast(extra AS jsonb) AS extra
    FROM unnest(
        cast(:id AS text[]),
        cast(:status AS text[]),
        cast(:currency AS text[]),
        cast(cast(:amount_due AS text[]) AS numeric[]),
        cast(cast(:amount_paid AS text[]) AS numeric[]),
        cast(cast(:amount_remaining AS text[]) AS numeric[]),
        cast(:attempt_count AS bigint[]),
        cast(:attempted AS boolean[]),
        cast(:auto_advance AS boolean[]),
        cast(:created_at AS timestamptz[]),
        cast(:created_by AS text[]),
        cast(:description AS text[]),
        cast(:invoice_origin AS text[]),
        cast(:invoice_pdf AS text[]),
        cast(:extra AS text[])
    ) AS sent (
        id, status, currency, amount_due, amount_paid, amount_remaining, attempt_count, attempted,
        auto_advance, created_at, created_by, description, invoice_origin, invoice_pdf, extra
    )
),
compared AS MATERIALIZED (
    SELECT
        incoming.*,
        stored.invoice AS stored,
        (stored.invoice).id IS NULL AS is_new,
        (stored.invoice).missing_since IS NOT NULL AS is_back,
        (
            status, currency, amount_due, amount_paid, amount_remaining, attempt_count, attempted,
            auto_advance, created_at, created_by, description, invoice_origin, extra
        ) IS DISTINCT FROM (
            (stored.invoice).status, (stored.invoice).currency, (stored.invoice).amount_due,
            (stored.invoice).amount_paid, (stored.invoice).amount_remaining,
            (stored.invoice).attempt_count, (stored.invoice).attempted,
            (stored.invoice).auto_advance, (stored.invoice).created_at,
            (stored.invoice).created_by, (stored.invoice).description,
            (stored.invoice).invoice_origin, (stored.invoice).extra
        ) AS differs,
        -- A link may differ at each fetch: that alone is worth a rewrite only once a week.
        invoice_pdf IS DISTINCT FROM (stored.invoice).invoice_pdf
            AND coalesce((stored.invoice).invoice_pdf_at < now() - interval '7 days', true)
            AS link_is_old
    FROM incoming
    LEFT JOIN LATERAL (
        SELECT invoices AS invoice
        FROM invoices
        WHERE invoices.account_id = cast(:account_id AS text) AND invoices.id = incoming.id
        LIMIT 1
    ) AS stored ON true
),
recorded AS (
    INSERT INTO invoice_history (account_id, invoice_id, run_id, observed_at, change, before, after)
    SELECT
        cast(:account_id AS text),
        id,
        cast(:run_id AS uuid),
        now(),
        CASE WHEN is_back THEN 'reappeared' ELSE 'changed' END,
        to_jsonb(stored) - cast(:bookkeeping AS text[]),
        jsonb_build_object(
            'id', id, 'status', status, 'currency', currency, 'amount_due', amount_due,
            'amount_paid', amount_paid, 'amount_remaining', amount_remaining,
            'attempt_count', attempt_count, 'attempted', attempted, 'auto_advance', auto_advance,
            'created_at', created_at, 'created_by', created_by, 'description', description,
            'invoice_origin', invoice_origin, 'extra', extra
        )
    FROM compared
    WHERE NOT is_new AND (differs OR is_back)
),
written AS (
    INSERT INTO invoices (
        account_id, id, status, currency, amount_due, amount_paid, amount_remaining,
        attempt_count, attempted, auto_advance, created_at, created_by, description,
        invoice_origin, invoice_pdf, invoice_pdf_at, extra, first_seen_at, changed_at
    )
    SELECT
        cast(:account_id AS text), id, status, currency, amount_due, amount_paid, amount_remaining,
        attempt_count, attempted, auto_advance, created_at, created_by, description,
        invoice_origin, invoice_pdf, CASE WHEN invoice_pdf IS NOT NULL THEN now() END, extra,
        now(), CASE WHEN differs THEN now() ELSE (stored).changed_at END
    FROM compared
    WHERE is_new OR differs OR is_back OR link_is_old
    ON CONFLICT (account_id, id) DO UPDATE SET
        status = excluded.status,
        currency = excluded.currency,
        amount_due = excluded.amount_due,
        amount_paid = excluded.amount_paid,
        amount_remaining = excluded.amount_remaining,
        attempt_count = excluded.attempt_count,
        attempted = excluded.attempted,
        auto_advance = excluded.auto_advance,
        created_at = excluded.created_at,
        created_by = excluded.created_by,
        description = excluded.description,
        invoice_origin = excluded.invoice_origin,
        invoice_pdf = excluded.invoice_pdf,
        invoice_pdf_at = excluded.invoice_pdf_at,
        extra = excluded.extra,
        changed_at = excluded.changed_at,
        missing_since = NULL
)
SELECT
    count(*) FILTER (WHERE is_new) AS inserted,
    count(*) FILTER (WHERE NOT is_new AND (differs OR is_back)) AS updated
FROM compared
""")


_AMOUNTS = ("amount_due", "amount_paid", "amount_remaining")


@dataclass(frozen=True, slots=True)
class Batch:
    """What one walk of an account fetched.

    `invoices` are unique by id; `unchanged` counts those that are known to be stored as they are.
    `listed` holds the ids that the API lists now, whether or not as valid records: any other stored
    invoice is missing. None: the walk proves no absence. `digests` are those of its pages, None
    where they don't tell what is stored.
    """

    invoices: Sequence[Invoice]
    rejections: Sequence[Rejection] = ()
    listed: frozenset[str] | None = None
    unchanged: int = 0
    digests: tuple[PageDigests, ...] | None = ()


@dataclass(frozen=True, slots=True)
class MergeCounts:
    """What a merge did, in numbers of invoices, and of records for `rejected`.

    `rejected` counts the batch's, also those stored before. `withheld` is how many invoices would
    have been marked missing and were not, because they were too many to be believed.
    """

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    missing: int = 0
    rejected: int = 0
    withheld: int = 0


async def merge_invoices(
    conn: AsyncConnection, account_id: str, run_id: UUID, batch: Batch
) -> MergeCounts:
    """Store a walk: insert new invoices, rewrite those that changed, mark those that are missing.

    The caller owns the transaction and holds the account's state row (`fence_account`). Every
    change after an invoice's first sight leaves a row in the history.
    """
    # First of all, while only earlier walks are stored: what this one adds makes up for no loss.
    absence = await find_absence(conn, account_id, batch.listed)
    withheld = is_mass_disappearance(absence)
    absent = () if withheld else _absent_now(absence, batch)
    invoices = sorted(batch.invoices, key=attrgetter("id"))
    if invoices and await can_load(conn, account_id):
        await load_invoices(conn, account_id, invoices)
        inserted, updated = len(invoices), 0
    else:
        inserted, updated = await _merge(conn, account_id, run_id, invoices)
    await mark_missing(conn, account_id, run_id, absent)
    await keep_rejections(conn, account_id, run_id, batch.rejections)
    return MergeCounts(
        inserted=inserted,
        updated=updated,
        unchanged=batch.unchanged + len(invoices) - inserted - updated,
        missing=len(absent),
        rejected=len(batch.rejections),
        withheld=len(absence.absent) if withheld else 0,
    )


async def _merge(
    conn: AsyncConnection, account_id: str, run_id: UUID, invoices: Sequence[Invoice]
) -> tuple[int, int]:
    """Insert what is new and rewrite what differs; how many of each."""
    inserted = updated = 0
    for rows in in_slices(invoices, INVOICE_TEXTS):
        columns = {name: [getattr(row, name) for row in rows] for name in Invoice.__struct_fields__}
        # Digits travel as text for less than half of what it costs to take them apart.
        columns |= {name: [str(amount) for amount in columns[name]] for name in _AMOUNTS}
        target = {"account_id": account_id, "run_id": run_id, "bookkeeping": BOOKKEEPING}
        counts = (await conn.execute(_MERGE, columns | target)).one()
        inserted += counts.inserted
        updated += counts.updated
    return inserted, updated


def _absent_now(absence: Absence, batch: Batch) -> Sequence[str]:
    """Ids of all that is to be marked: a walk that was repeated may have met what then went."""
    if batch.listed is None:
        return ()
    gone = {invoice.id for invoice in batch.invoices}.difference(batch.listed)
    return sorted(gone.union(absence.absent))
