"""What the daemon deletes after a run, where it was asked to: old runs, and old history."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from syncer.errors import DatabaseError
from syncer.store.retention import Pruned, prune_history, prune_runs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

    from sqlalchemy.ext.asyncio import AsyncConnection

    from syncer.stop import Stop
    from syncer.store.engine import Database

log = structlog.get_logger()

# After each run, so that what took years goes in many small pieces, and no run waits for it.
BATCHES: Final = 20
# What others do with the database comes first.
PAUSE_S: Final = 0.05


async def prune(
    database: Database,
    *,
    keep_runs: timedelta | None,
    keep_history: timedelta | None,
    stop: Stop,
) -> None:
    """Delete some of the runs and changes that are older than they are to be kept; None: for ever.

    Each batch is a transaction of its own. Where the database refuses, the log says so, and the
    next run is followed by another try.
    """
    pruned = Pruned()
    if keep_runs is not None:
        pruned += await _prune_in_batches(database, partial(prune_runs, age=keep_runs), stop)
    if keep_history is not None:
        pruned += await _prune_in_batches(database, partial(prune_history, age=keep_history), stop)
    if pruned != Pruned():
        log.info(
            "retention.pruned",
            sync_runs=pruned.runs,
            account_syncs=pruned.walks,
            invoice_history=pruned.changes,
        )


async def _prune_in_batches(
    database: Database, prune_batch: Callable[[AsyncConnection], Awaitable[Pruned]], stop: Stop
) -> Pruned:
    pruned = Pruned()
    try:
        for _ in range(BATCHES):
            if stop.requested:
                break
            async with database.transaction() as conn:
                batch = await prune_batch(conn)
            if batch == Pruned():
                break
            pruned += batch
            await stop.pause(PAUSE_S)
    except DatabaseError as error:
        log.warning("retention.failed", error=str(error))
    return pruned
