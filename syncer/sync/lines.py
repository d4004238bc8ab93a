"""The canonical log lines: one for each account, and one for each run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from syncer.store.journal import AccountRecord

log = structlog.get_logger()

_COUNTS: Final = (
    "pages",
    "requests",
    "retries",
    "fetched",
    "inserted",
    "updated",
    "unchanged",
    "missing",
    "rejected",
    "total_reported",
)


def announce_account(record: AccountRecord, *, duration_ms: int) -> None:
    """Say how an account's sync ended, with all its counts."""
    counts = {name: getattr(record, name) for name in _COUNTS}
    if record.status == "complete":
        log.info("account.synced", status=record.status, **counts, duration_ms=duration_ms)
        return
    why = {
        "status": record.status,
        "reason": record.reason,
        "error_kind": record.error_kind,
        "error": record.error,
        "http_status": record.http_status,
        "cf_ray": record.cf_ray,
    }
    if record.status == "skipped":
        log.info("account.skipped", reason=record.reason, error=record.error)
    elif record.status == "incomplete":
        log.warning("account.incomplete", **why, **counts, duration_ms=duration_ms)
    else:
        log.error("account.failed", **why, **counts, duration_ms=duration_ms)


def sums(records: Iterable[AccountRecord]) -> dict[str, int]:
    """Add up the counts of a run's accounts."""
    records = tuple(records)
    return {name: sum(getattr(record, name) or 0 for record in records) for name in _COUNTS}
