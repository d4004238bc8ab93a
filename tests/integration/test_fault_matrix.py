"""Every fault of the table, at each of its positions, once and for ever."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from syncer.store.engine import Database
from tests.integration.disturbed import NAME, Disturbed, disturbed
from tests.integration.fault_table import (
    LINES,
    PAGES_ASKED,
    PATIENCE_S,
    POSITIONS,
    WHOLE_WALK,
    Line,
    Position,
    Refused,
)
from tests.integration.stored import opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.running import Row

WHY = ("reason", "error_kind", "error", "http_status", "cf_ray")
# What a client has read past its limit, and what was on its way to it in the system's buffers.
MOST_TAKEN_BYTES = 40 * 2**20


@dataclass(frozen=True)
class Case:
    line: Line
    position: Position
    for_ever: bool

    def __str__(self) -> str:
        return f"{self.line.name}, {self.position.name}, {'for ever' if self.for_ever else 'once'}"

    @property
    def waits(self) -> bool:
        """Whether several answers in turn never come, and all of the patience passes for each."""
        return self.for_ever and self.line.request_timeout_s <= PATIENCE_S

    @property
    def walked_again(self) -> bool:
        return self.line.walked_again and self.position.nth > 1

    @property
    def ending(self) -> str:
        if self.walked_again and not self.for_ever:
            return "complete"
        return self.line.for_ever if self.for_ever else self.line.once

    @property
    def complete(self) -> bool:
        return self.ending == "complete"

    @property
    def failures(self) -> int:
        """How many requests met the fault and brought nothing."""
        if self.line.error is None:
            return 0
        if self.walked_again:
            return 2 if self.for_ever else 1
        return self.line.asked if self.for_ever else 1

    @property
    def retries(self) -> int:
        if self.walked_again:
            return 0
        return self.failures if self.complete else self.failures - 1

    @property
    def pages(self) -> list[int]:
        """The pages that come: those before the fault; and if it ends, the others as well."""
        before = PAGES_ASKED[: self.position.nth - 1]
        if not self.complete:
            return [*before]
        if self.walked_again:
            return [*before, *WHOLE_WALK]
        return [*PAGES_ASKED[: self.position.of_requests]]

    @property
    def pages_asked(self) -> list[int]:
        """The pages on the wire: the one that meets the fault is asked for again, or page 1 is."""
        before = self.position.nth - 1
        page = PAGES_ASKED[before]
        failed = [page, 1] if self.walked_again else [page] * self.failures
        if isinstance(self.line.fault, Refused):
            failed = []
        return [*self.pages[:before], *failed[: self.failures], *self.pages[before:]]

    def counts(self) -> dict[str, int | None]:
        """Everything that is counted of the sync: there was no invoice before but one."""
        position = self.position
        stored = position.of_invoices if self.complete else position.stored
        # Of another walk that does not get its first page, nothing is known.
        total = None if self.walked_again else position.total
        return {
            "pages": len(self.pages),
            "requests": len(self.pages) + self.failures,
            "retries": self.retries,
            "fetched": stored,
            "inserted": stored,
            "updated": 0,
            "unchanged": 0,
            "missing": 1 if self.complete else 0,
            "rejected": 0,
            "total_reported": position.of_invoices if self.complete else total,
        }


CASES = [
    Case(line, position, for_ever)
    for line in LINES
    for position in POSITIONS
    if position.name in line.at
    for for_ever in (False, True)
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_database(shared_dsn: str) -> AsyncIterator[Database]:
    async with opened(Database(shared_dsn)) as database:
        yield database


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=str(case), marks=[pytest.mark.slow] if case.waits else [])
        for case in CASES
    ],
)
async def test_a_fault_ends_as_the_table_says_and_the_next_sync_mends_it(
    case: Case, shared_database: Database
) -> None:
    timeout_s = case.line.request_timeout_s
    async with disturbed(shared_database, request_timeout_s=timeout_s) as it:
        await it.disturb(case.line, case.position, for_ever=case.for_ever)
        await it.run()
        await check_wire(it, case)
        await check_journal(it, case)
        await check_rows(it, case)
        check_log(it, case)
        await it.heal()
        await it.run()
        await check_convergence(it, case)


async def check_wire(it: Disturbed, case: Case) -> None:
    assert it.asked == case.pages_asked
    assert it.waited_s == sum(case.line.waits[: case.retries])
    assert it.trap.connections == 0
    assert all(taken < MOST_TAKEN_BYTES for taken in it.site.api.flooded_bytes)


async def check_journal(it: Disturbed, case: Case) -> None:
    outcome, state = await it.outcome(), await it.state()
    counts = case.counts()
    assert {name: outcome[name] for name in counts} == counts
    check_why(it, case, {name: outcome[name] for name in ("status", *WHY)})
    assert (state["last_status"], state["last_error_kind"], state["last_error"]) == (
        outcome["status"],
        outcome["error_kind"],
        outcome["error"],
    )
    assert (state["pages"], state["invoices_fetched"], state["total_reported"]) == (
        outcome["pages"],
        outcome["fetched"],
        outcome["total_reported"],
    )
    assert state["consecutive_failures"] == (0 if case.complete else 1)
    assert (state["last_complete_at"] is not None) is case.complete
    run = await it.site.row("SELECT status, accounts_complete FROM sync_runs")
    assert run == {
        "status": "succeeded" if case.complete else "failed",
        "accounts_complete": 1 if case.complete else 0,
    }


def check_why(it: Disturbed, case: Case, told: Row) -> None:
    """Status, reason and what stands behind it; taken out of `told`."""
    status, *why = (told.pop(name) for name in ("status", *WHY))
    if case.complete:
        assert (status, why) == ("complete", [None] * 5)
        return
    reason, error_kind, error, http_status, cf_ray = why
    assert status == case.position.status
    assert (reason, error_kind, http_status) == (case.ending, case.ending, case.line.http_status)
    assert matches(error, case)
    assert cf_ray == ray_of(it, case, case.failures - 1)


def matches(error: str, case: Case) -> bool:
    assert case.line.error is not None
    return fnmatchcase(error, case.line.error.replace("[", "[[]"))


def ray_of(it: Disturbed, case: Case, failure: int) -> str | None:
    """The `CF-Ray` of the answer to the request that failed so many failures after the first."""
    if case.line.http_status is None:
        return None
    return it.site.api.requests[case.position.nth - 1 + failure].ray_id


async def check_rows(it: Disturbed, case: Case) -> None:
    rows = await it.site.rows("SELECT id, missing_since FROM invoices")
    counts = case.counts()
    assert len(rows) == 1 + (counts["inserted"] or 0)
    missing = [row["id"] for row in rows if row["missing_since"] is not None]
    assert missing == (["in_former"] if case.complete else [])


def check_log(it: Disturbed, case: Case) -> None:
    """The whole log of the sync, event by event."""
    started, *retries, ended, finished = it.events
    run_id = started["run_id"]
    account = {"run_id": run_id, "account_id": it.account.id, "account": NAME}
    assert started == {
        "event": "run.started",
        "log_level": "info",
        "run_id": run_id,
        "trigger": "command",
        "tick": None,
        "accounts_total": 1,
    }
    assert len(retries) == case.retries
    for number, event in enumerate(retries):
        assert matches(event.pop("error"), case)
        assert event == account | {
            "event": "request.retry_scheduled",
            "log_level": "warning",
            "attempt": number + 1,
            "delay_s": (case.line.delays or case.line.waits)[number],
            "reason": case.line.for_ever,
            "http_status": case.line.http_status,
            "cf_ray": ray_of(it, case, number),
        }
    assert ended.pop("duration_ms") >= 0
    assert finished.pop("duration_ms") >= 0
    if case.complete:
        assert ended.pop("status") == "complete"
        assert ended == account | case.counts() | {"event": "account.synced", "log_level": "info"}
    else:
        check_why(it, case, ended)
        name, level = ENDED_AS[case.position.status]
        assert ended == account | case.counts() | {"event": name, "log_level": level}
    # No total of an account is none in the sum over all of them.
    assert finished == case.counts() | {
        "event": "run.finished",
        "log_level": "info" if case.complete else "warning",
        "run_id": run_id,
        "trigger": "command",
        "status": "succeeded" if case.complete else "failed",
        "accounts_total": 1,
        "accounts_complete": 1 if case.complete else 0,
        "version": "1.2.3",
        "host": "testhost",
        "total_reported": case.counts()["total_reported"] or 0,
    }


ENDED_AS = {
    "failed": ("account.failed", "error"),
    "incomplete": ("account.incomplete", "warning"),
}


async def check_convergence(it: Disturbed, case: Case) -> None:
    """The next sync, which nothing disturbs, is complete, and both sides are equal."""
    outcome = await it.outcome()
    assert (outcome["status"], outcome["reason"], outcome["retries"]) == ("complete", None, 0)
    recovered = [event["failures"] for event in it.events if event["event"] == "account.recovered"]
    assert recovered == ([] if case.complete else [1])
    rows = await it.site.rows("""
        SELECT id, status, currency, amount_due, amount_paid, amount_remaining, attempt_count,
            attempted, auto_advance, extract(epoch FROM created_at)::bigint AS created, created_by,
            description, invoice_origin, invoice_pdf
        FROM invoices WHERE missing_since IS NULL
    """)
    assert by_id(rows) == by_id(it.account.invoices)
    gone = await it.site.rows("SELECT id FROM invoices WHERE missing_since IS NOT NULL")
    assert gone == [{"id": "in_former"}]
    history = await it.site.rows("SELECT invoice_id, change FROM invoice_history")
    assert history == [{"invoice_id": "in_former", "change": "missing"}]


def by_id(invoices: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {invoice["id"]: invoice for invoice in invoices}
