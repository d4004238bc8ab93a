"""A past of few invoices, a walk a day, and how it is told and forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog

from syncer.stop import Stop
from syncer.sync.pruning import prune
from tests.integration.stored import change, fetch, invoice, merge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from structlog.typing import EventDict

    from syncer.store.engine import Database

# Status by id of what the API listed.
Listing = dict[str, str]

FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)
A_DAY = timedelta(days=1)

# Whatever is of today was stored by the walk that has just been.
_DATE = """
WITH changes AS (
    UPDATE invoice_history SET observed_at = :day WHERE observed_at > :latest
)
UPDATE invoices
SET first_seen_at = CASE WHEN first_seen_at > :latest THEN :day ELSE first_seen_at END,
    changed_at = CASE WHEN changed_at > :latest THEN :day ELSE changed_at END,
    missing_since = CASE WHEN missing_since > :latest THEN :day ELSE missing_since END
"""

A_LIFE: list[Listing] = [
    {"in_1": "draft", "in_2": "open"},
    {"in_1": "open", "in_2": "open"},
    {"in_2": "open"},
    {"in_2": "open", "in_3": "draft"},
    {"in_1": "open", "in_2": "open", "in_3": "draft"},
    {"in_1": "paid", "in_2": "open"},
]

# At each noon and midnight of three weeks.
AT_EACH_MOMENT = """
SELECT moment, invoice_id, listed, status, content
FROM generate_series(
    timestamptz '2024-12-31 00:00+00', timestamptz '2025-01-21 00:00+00', interval '12 hours'
) AS moment
JOIN invoice_versions ON valid_from <= moment AND coalesce(valid_to > moment, true)
ORDER BY 1, 2
"""

FEED = "SELECT * FROM invoice_changes ORDER BY observed_at, invoice_id, change"


def day(number: float) -> datetime:
    return FIRST_DAY + number * A_DAY


def age_of(number: float) -> timedelta:
    """How old is what happened on that day."""
    return datetime.now(UTC) - day(number)


async def had_walks(database: Database, *listings: Mapping[str, str]) -> None:
    """Merge one walk after another, the first as of day 0, each a day later."""
    for number, listed in enumerate(listings):
        rows = [invoice(id_, status=status) for id_, status in listed.items()]
        await merge(database, rows, listed=listed)
        await change(database, _DATE, day=day(number), latest=day(100))


async def forgotten(database: Database, keep: timedelta | None) -> list[EventDict]:
    """Prune the history as the daemon does after a run; what the log says of it."""
    with structlog.testing.capture_logs() as events:
        await prune(database, keep_runs=None, keep_history=keep, stop=Stop())
    return list(events)


async def horizon(database: Database) -> datetime | None:
    (row,) = await fetch(database, "SELECT max(since) AS since FROM history_horizon")
    since: datetime | None = row["since"]
    return since


async def life_of(database: Database, id_: str = "in_1") -> list[tuple[Any, ...]]:
    """Number, first and last day, change, listed and status of each version of an invoice."""
    versions = await fetch(
        database,
        """SELECT version,
            cast(extract(epoch FROM valid_from - :first) / 86400 AS float) AS from_day,
            cast(extract(epoch FROM valid_to - :first) / 86400 AS float) AS to_day,
            change, listed, status
        FROM invoice_versions WHERE invoice_id = :id_ ORDER BY version""",
        id_=id_,
        first=FIRST_DAY,
    )
    return [tuple(version.values()) for version in versions]
