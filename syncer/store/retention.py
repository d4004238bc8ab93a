"""Deleting what is older than it has to be; nothing is, unless somebody asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

if TYPE_CHECKING:
    from datetime import timedelta

    from sqlalchemy.ext.asyncio import AsyncConnection

# A batch ends with the run that brings it to so many rows, and has no more runs than that.
BATCH_ROWS: Final = 5_000
_BATCH_RUNS: Final = 500

# As for accounts, but until the end of the transaction.
PRUNING_KEY: Final = "syncer:pruning:%I"

_TRY_PRUNING = text("""
SELECT pg_try_advisory_xact_lock(hashtextextended(format(cast(:key AS text), current_schema()), 0))
""")

# What other tables point to stays, which is the last run of each account among others. A row that
# somebody else has in hand is left for another time, so that nobody is waited for. Each run takes
# its rows of account_syncs along.
_PRUNE_RUNS = text("""
WITH old AS MATERIALIZED (
    SELECT id, started_at, accounts_total
    FROM sync_runs
    WHERE started_at < now() - cast(:age AS interval)
        AND status <> 'running'
        AND NOT EXISTS (SELECT FROM sync_state WHERE last_run_id = sync_runs.id)
        AND NOT EXISTS (SELECT FROM account_digests WHERE run_id = sync_runs.id)
    ORDER BY started_at
    LIMIT :runs
    FOR UPDATE OF sync_runs SKIP LOCKED
),
counted AS (
    SELECT id, sum(accounts_total + 1) OVER (ORDER BY started_at, id) - accounts_total - 1 AS above
    FROM old
),
gone AS (
    DELETE FROM sync_runs
    USING counted
    WHERE sync_runs.id = counted.id AND counted.above < :rows
    RETURNING sync_runs.accounts_total
)
SELECT count(*) AS runs, coalesce(sum(accounts_total), 0) AS walks FROM gone
""")


# From the oldest on, by the key, which follows the time of observation: so what there is to look at
# is no more than a batch, however long the history is. Whatever is deleted lies at the horizon or
# before it, in the same moment.
_PRUNE_HISTORY = text("""
WITH oldest AS MATERIALIZED (
    SELECT id, observed_at
    FROM invoice_history
    ORDER BY id
    LIMIT :rows
),
gone AS (
    DELETE FROM invoice_history
    WHERE id IN (SELECT id FROM oldest WHERE observed_at < now() - cast(:age AS interval))
    RETURNING observed_at
),
told AS (
    INSERT INTO history_horizon (since)
    SELECT max(observed_at) FROM gone HAVING count(*) > 0
    ON CONFLICT (singleton) DO UPDATE
        SET since = greatest(history_horizon.since, excluded.since)
)
SELECT count(*) FROM gone
""")


@dataclass(frozen=True, slots=True)
class Pruned:
    """So many runs are gone, with them so many walks of accounts, and so many rows of history."""

    runs: int = 0
    walks: int = 0
    changes: int = 0

    def __add__(self, other: Pruned) -> Pruned:
        return Pruned(
            self.runs + other.runs, self.walks + other.walks, self.changes + other.changes
        )


async def prune_runs(conn: AsyncConnection, *, age: timedelta) -> Pruned:
    """Delete a batch of the oldest runs that began longer ago than `age`; none: there are none.

    None either while another session is pruning. The transaction is the caller's, and a short one.
    """
    if not await _try_pruning(conn):
        return Pruned()
    values = {"age": age, "runs": _BATCH_RUNS, "rows": BATCH_ROWS}
    row = (await conn.execute(_PRUNE_RUNS, values)).one()
    return Pruned(row.runs, int(row.walks))


async def prune_history(conn: AsyncConnection, *, age: timedelta, rows: int = BATCH_ROWS) -> Pruned:
    """Delete what is older than `age` of the `rows` oldest changes; none: there are none.

    From then on the views tell nothing of times before the newest of what was ever deleted. None
    either while another session is pruning. The transaction is the caller's, and a short one.
    """
    if not await _try_pruning(conn):
        return Pruned()
    values = {"age": age, "rows": rows}
    return Pruned(changes=(await conn.execute(_PRUNE_HISTORY, values)).scalar_one())


async def _try_pruning(conn: AsyncConnection) -> bool:
    can: bool = (await conn.execute(_TRY_PRUNING, {"key": PRUNING_KEY})).scalar_one()
    return can
