"""A walk into the tables, and what the next one may rely on: digests of what is stored."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import text

from syncer.digests import NOTHING_KNOWN, VERSION, Known, PageDigests
from syncer.errors import DatabaseError, RowsChanged
from syncer.store.invoices import MergeCounts, merge_invoices
from syncer.store.statements import Statement

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from syncer.store.invoices import Batch

# Digests are about the rows as the walk left them. When one of those is changed or deleted, by
# whatever hand, a trigger sets the version to 0; one that was added shows in their number.
_READ = Statement("""
SELECT now() AS read_at, run_id, compared_at, settled, pages
FROM (VALUES (1)) AS always LEFT JOIN account_digests
    ON account_id = cast(:account_id AS text)
    AND version = cast(:version AS int)
    AND compared_at BETWEEN now() - cast(:longest AS interval) AND now()
    AND invoices = (SELECT count(*) FROM invoices WHERE account_id = cast(:account_id AS text))
""")

_IS_LAST = Statement("""
SELECT account_id
FROM account_digests
WHERE account_id = cast(:account_id AS text)
    AND version = cast(:version AS int)
    AND run_id = cast(:run_id AS uuid)
""")

# Whoever changes rows of the account from here on waits in the trigger for the end of the
# transaction; who did so before, and has not committed, is waited for. Rows that others add
# meanwhile are in no count, so that they show in the next walk.
_HOLD = text("""
SELECT
    (SELECT count(*) FROM invoices WHERE account_id = cast(:account_id AS text)) AS invoices,
    held.run_id IS NOT NULL AS is_held,
    coalesce(
        held.version = cast(:version AS int) AND held.run_id = cast(:run_id AS uuid), false
    ) AS is_last
FROM (VALUES (1)) AS always LEFT JOIN LATERAL (
    SELECT version, run_id
    FROM account_digests
    WHERE account_id = cast(:account_id AS text)
    FOR UPDATE
) AS held ON true
""")

# Where there was nothing to hold, a row that is there now comes from the trigger.
_KEEP = text("""
INSERT INTO account_digests AS kept (
    account_id, version, run_id, compared_at, invoices, settled, pages
)
SELECT
    cast(:account_id AS text), cast(:version AS int), cast(:run_id AS uuid),
    coalesce(cast(:compared_at AS timestamptz), now()),
    cast(:invoices AS bigint), cast(:settled AS boolean), cast(:pages AS bytea)
ON CONFLICT (account_id) DO UPDATE SET
    version = excluded.version,
    run_id = excluded.run_id,
    compared_at = excluded.compared_at,
    invoices = excluded.invoices,
    settled = excluded.settled,
    pages = excluded.pages
WHERE cast(:is_held AS boolean)
""")

_pages = msgspec.msgpack.Decoder(tuple[PageDigests, ...])


@dataclass(frozen=True, slots=True)
class StoredWalk:
    """The walk that an account's invoices were last stored from; by default nothing is known of it.

    `settled`: it proved which invoices are missing, and they were marked. Since `compared_at`,
    each record was either known by its digest, or compared with its row.
    """

    known: Known = NOTHING_KNOWN
    run_id: UUID | None = None
    compared_at: datetime | None = None
    settled: bool = False

    def settles(self, batch: Batch) -> bool:
        """Whether it is the same list, so that what is missing from it is marked already."""
        anew = batch.invoices or batch.rejections
        return self.settled and not anew and self.known.is_all_of(batch.digests)


async def read_walk(
    conn: AsyncConnection, account_id: str, *, longest: timedelta
) -> tuple[datetime, StoredWalk]:
    """Return when the transaction began, and what was known of the account's stored invoices.

    Nothing, where everything was last compared more than `longest` ago, or rows were changed,
    deleted or added by others: then everything is to be decoded and compared.
    """
    values = {"account_id": account_id, "version": VERSION, "longest": longest}
    row = await _READ.fetch_one(conn, **values)
    if row is None:  # never, but who checks types cannot know
        raise DatabaseError("PostgreSQL did not tell the time")
    known = StoredWalk()
    if row["pages"] is not None:
        # Where somebody has emptied them, a crash would come again at each sync.
        with suppress(msgspec.DecodeError):
            pages = Known(_pages.decode(row["pages"]))
            known = StoredWalk(pages, row["run_id"], row["compared_at"], row["settled"])
    return row["read_at"], known


async def store_walk(
    conn: AsyncConnection, account_id: str, run_id: UUID, batch: Batch, last: StoredWalk
) -> MergeCounts:
    """Store a walk that was decoded with what is known of the `last` one.

    The caller owns the transaction and holds the account's state row (`fence_account`). Raises
    RowsChanged where rows were changed since, so that what was known of them is known no more.
    """
    values = {"account_id": account_id, "version": VERSION, "run_id": last.run_id}
    changed = RowsChanged(f"account {account_id}: its rows were changed during the walk")
    if last.settles(batch):
        # All of it is stored, and nothing will be written.
        if batch.unchanged and await _IS_LAST.fetch_one(conn, **values) is None:
            raise changed
        return MergeCounts(unchanged=batch.unchanged)
    held = (await conn.execute(_HOLD, values)).one()
    if batch.unchanged and not held.is_last:
        raise changed
    counts = await merge_invoices(conn, account_id, run_id, batch)
    if batch.digests == ():
        return counts  # not even one page came, at the last attempt
    settled = batch.listed is not None and not counts.withheld
    digests = () if batch.digests is None else batch.digests
    is_known = (digests, settled) == (last.known.pages, last.settled)
    if not is_known or counts.inserted or counts.updated or counts.missing:
        kept = {
            "account_id": account_id,
            "version": VERSION,
            "run_id": run_id,
            "compared_at": last.compared_at,
            "invoices": held.invoices + counts.inserted,
            "settled": settled,
            "pages": msgspec.msgpack.encode(digests),
            "is_held": held.is_held,
        }
        await conn.execute(_KEEP, kept)
    return counts
