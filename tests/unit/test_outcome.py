from datetime import UTC, datetime, timedelta

import pytest

from syncer.cloudflare.tally import Tally
from syncer.cloudflare.walk import Walk
from syncer.errors import CloudflareError, RateLimited, Reason, Unavailable
from syncer.store.journal import AccountStatus, RunStatus
from syncer.store.state import LastWalk
from syncer.sync.outcome import (
    EXPLANATIONS,
    Outcome,
    plain_outcome,
    run_status,
    serves_tick,
    walk_outcome,
)

DOWN = Unavailable("the API is unavailable (HTTP 502)", status=502, ray_id="8f1-AMS")


def test_a_walk_without_a_reason_is_complete() -> None:
    assert walk_outcome(Walk(pages=3), cut_short=None) == Outcome(status="complete")


@pytest.mark.parametrize(("pages", "status"), [(0, "failed"), (1, "incomplete")])
def test_an_error_fails_an_account_that_got_nothing(pages: int, status: AccountStatus) -> None:
    walk = Walk(pages=pages, reason=Reason.UNAVAILABLE, error=DOWN)
    assert walk_outcome(walk, cut_short=None) == Outcome(
        status=status,
        reason=Reason.UNAVAILABLE,
        error_kind="unavailable",
        error="the API is unavailable (HTTP 502)",
        http_status=502,
        cf_ray="8f1-AMS",
    )


def test_a_doubt_explains_itself() -> None:
    outcome = walk_outcome(Walk(pages=2, reason=Reason.PAGE_LIMIT), cut_short=None)
    assert (outcome.status, outcome.error_kind) == ("incomplete", "page_limit")
    assert outcome.error == EXPLANATIONS[Reason.PAGE_LIMIT]


@pytest.mark.parametrize(("error", "kind"), [(DOWN, "unavailable"), (None, "timeout")])
def test_a_deadline_tells_what_it_was_waiting_for(error: CloudflareError | None, kind: str) -> None:
    walk = Walk(pages=1, tally=Tally(errors={"2": error} if error else {}))
    outcome = walk_outcome(walk, cut_short=Reason.TIMEOUT)
    assert (outcome.reason, outcome.error_kind) == (Reason.TIMEOUT, kind)
    assert outcome.error is not None
    assert ("HTTP 502" in outcome.error) is (error is not None)
    assert EXPLANATIONS[Reason.TIMEOUT] in outcome.error


def test_an_error_that_a_retry_mended_leaves_no_trace() -> None:
    walk = Walk(pages=3, tally=Tally(errors={"2": DOWN}))
    assert walk_outcome(walk, cut_short=None) == Outcome(status="complete")


WELL = ("complete", None)
LOCKED = ("skipped", Reason.LOCKED)
FRESH = ("skipped", Reason.FRESH)
INTERRUPTED = ("skipped", Reason.INTERRUPTED)
BAD = ("failed", Reason.ACCESS_DENIED)


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([], "succeeded"),
        ([WELL, LOCKED, FRESH], "succeeded"),
        ([WELL, BAD], "partial"),
        ([WELL, INTERRUPTED], "partial"),
        ([BAD, ("incomplete", Reason.PAGE_LIMIT)], "failed"),
    ],
)
def test_a_run_is_as_good_as_its_accounts(
    outcomes: list[tuple[AccountStatus, Reason | None]], status: RunStatus
) -> None:
    assert run_status(outcomes) == status


def test_every_reason_without_an_error_explains_itself() -> None:
    assert plain_outcome("skipped", Reason.FRESH).error == EXPLANATIONS[Reason.FRESH]
    assert plain_outcome("failed", Reason.STORAGE, "disk full").error == "disk full"


TICK = datetime(2026, 1, 1, tzinfo=UTC)
EARLIER = TICK - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("error_kind", "serves"),
    [
        (None, True),
        *[(reason, True) for reason in ("not_found", "rate_limited", "timeout")],
        *[(reason, False) for reason in ("unavailable", "storage", "interrupted")],
        ("access_denied", False),
    ],
)
def test_a_walk_serves_its_tick_unless_only_its_process_had_trouble(
    error_kind: str | None, *, serves: bool
) -> None:
    assert serves_tick(LastWalk(TICK, None, error_kind), TICK) is serves
    # The database's clock may be behind, but a tick is a tick.
    assert serves_tick(LastWalk(EARLIER, TICK, error_kind), TICK) is serves
    assert not serves_tick(LastWalk(EARLIER, EARLIER, error_kind), TICK)
    assert not serves_tick(LastWalk(EARLIER, None, error_kind), TICK)
    # One of a clock that was ahead.
    assert not serves_tick(LastWalk(EARLIER, TICK + timedelta(days=1), error_kind), TICK)


def test_a_walk_that_was_told_to_stop_has_no_other_reason() -> None:
    recovered = RateLimited("the API throttles this credential")
    walk = Walk(
        pages=1, tally=Tally(errors={"1": recovered}), error=DOWN, reason=Reason.UNAVAILABLE
    )
    outcome = walk_outcome(walk, cut_short=Reason.INTERRUPTED)
    assert (outcome.error_kind, outcome.http_status) == ("interrupted", None)
    assert outcome.error == EXPLANATIONS[Reason.INTERRUPTED]
