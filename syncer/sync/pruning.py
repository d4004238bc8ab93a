"""What the daemon deletes after a run, where it was asked to: old rows of the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from syncer.errors import DatabaseError
from syncer.store.retention import Pruned, prune_runs

if TYPE_CHECKING:
    from datetime import timedelta

    from syncer.stop import Stop
    from syncer.store.engine import Database

log = structlog.get_logger()

# After each run, so that a journal of years goes in many small pieces, and no run waits for it.
BATCHES: Final = 20
# What others do with the database comes first.
PAUSE_S: Final = 0.05


async def prune(database: Database, *, keep_runs: timedelta | None, stop: Stop) -> None:
    """Delete some of the runs that began longer ago than `keep_runs`; None keeps them all.

    Each batch is a transaction of its own. Where the database refuses, the log says so, and the
    next run is followed by another try.
    """
    if keep_runs is None:
        return
    pruned = Pruned()
    try:
        for _ in range(BATCHES):
            if stop.requested:
                break
            async with database.transaction() as conn:
                batch = await prune_runs(conn, age=keep_runs)
            if batch == Pruned():
                break
            pruned += batch
            await stop.pause(PAUSE_S)
    except DatabaseError as error:
        log.warning("retention.failed", error=str(error))
    if pruned != Pruned():
        log.info("retention.pruned", sync_runs=pruned.runs, account_syncs=pruned.walks)
