"""How an account's outcome follows from what was seen. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from syncer.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from syncer.cloudflare.walk import Walk
    from syncer.store.journal import AccountStatus, RunStatus
    from syncer.store.state import LastWalk

# For reasons without an error of their own: what happened, and what to do.
EXPLANATIONS: Final = {
    Reason.PAGINATION_NOT_HONOURED: "the API did not give the pages that were asked for;"
    " only what it gave is stored",
    Reason.PAGE_LIMIT: "there are more pages than [sync].max_pages allows; raise it",
    Reason.FEWER_THAN_REPORTED: "the API served fewer invoices than it reported",
    Reason.TIMEOUT: "the account was not done within [sync].account_timeout",
    Reason.INTERRUPTED: "the sync was asked to stop; the next one starts afresh",
    Reason.LOCKED: "another process is syncing this account",
    Reason.FRESH: "the account was walked for this tick of the schedule already",
    Reason.MASS_DISAPPEARANCE: "more than half of the account's invoices are gone from the API;"
    " none was marked missing: see whether the account and its credential are the right ones",
}

# Its network, its database, its end, and the credential as it last read it.
_TROUBLES_OF_A_PROCESS: Final = (
    Reason.UNAVAILABLE,
    Reason.STORAGE,
    Reason.INTERRUPTED,
    Reason.ACCESS_DENIED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an account's sync ended; `error_kind` is the word for what stood behind the reason."""

    status: AccountStatus
    reason: Reason | None = None
    error_kind: str | None = None
    error: str | None = None
    http_status: int | None = None
    cf_ray: str | None = None


def walk_outcome(walk: Walk, *, cut_short: Reason | None) -> Outcome:
    """Judge a walk; `cut_short` says why it did not end by itself, None where it did.

    What ended without a single page has failed; with some, it is incomplete.
    """
    reason = cut_short or walk.reason
    if reason is None:
        return Outcome(status="complete")
    error = walk.error
    if cut_short is Reason.TIMEOUT:
        error = error or walk.tally.last_error  # what it was waiting for
    elif cut_short is Reason.INTERRUPTED:
        error = None
    text = str(error) if error is not None else EXPLANATIONS[reason]
    return Outcome(
        status="incomplete" if walk.pages else "failed",
        reason=reason,
        error_kind=error.reason if error is not None else reason,
        error=f"{EXPLANATIONS[reason]}; last: {text}" if cut_short and error else text,
        http_status=error.status if error is not None else None,
        cf_ray=error.ray_id if error is not None else None,
    )


def plain_outcome(status: AccountStatus, reason: Reason, error: str | None = None) -> Outcome:
    """Build an outcome that has no answer of the API behind it."""
    return Outcome(
        status=status, reason=reason, error_kind=reason, error=error or EXPLANATIONS[reason]
    )


def is_well(status: AccountStatus, reason: Reason | None) -> bool:
    """Whether an account needs nobody's attention: complete, or in another process' hands."""
    return status == "complete" or reason in (Reason.LOCKED, Reason.FRESH)


def serves_tick(last: LastWalk, tick: datetime) -> bool:
    """Whether a walk that another process made stands for this tick as well.

    What the API said of the account, it would say again; what befell that process may spare this.
    """
    # The tick is by a host's clock and the start by the database's, so the ticks themselves are
    # compared: for the same one, as a later one may come from a clock that was ahead.
    walked = last.started_at >= tick or last.tick == tick
    return walked and last.error_kind not in _TROUBLES_OF_A_PROCESS


def run_status(
    outcomes: Iterable[tuple[AccountStatus, Reason | None]], *, all_known: bool = True
) -> RunStatus:
    """Judge a run: failed when not one of its accounts is well, partial when some are unknown."""
    well = [is_well(status, reason) for status, reason in outcomes]
    if all(well) and all_known:
        return "succeeded"
    return "partial" if any(well) else "failed"
