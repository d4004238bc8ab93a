"""How far a fault reaches: what becomes of other records, pages and accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from syncer.cloudflare.walk import WalkSettings
from syncer.demo.faults import Answer, EdgeError, Hang, Trickle
from tests.integration.disturbed import ONE_BY_ONE, Disturbed, disturbed, on_page
from tests.integration.fault_table import (
    LINES,
    PER_PAGE,
    POSITIONS,
    REFUSAL,
    Line,
    Position,
    Refused,
)
from tests.integration.running import with_account
from tests.integration.spoiled import html, nested, throttled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from syncer.demo.faults import Fault
    from syncer.store.engine import Database


@pytest.fixture
async def it(database: Database) -> AsyncIterator[Disturbed]:
    async with disturbed(database) as opened:
        yield opened


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize(
    ("position", "fetched", "stored"),
    [
        (POSITIONS[0], 35, 34),
        (POSITIONS[1], 35, 34),
        (POSITIONS[2], 35, 34),
        # The walk before has brought the same invoice as it should be.
        (POSITIONS[3], 37, 36),
    ],
    ids=lambda value: value.name if isinstance(value, Position) else None,
)
async def test_an_invoice_that_is_nested_too_deeply_costs_itself_alone(
    it: Disturbed, position: Position, fetched: int, stored: int, *, for_ever: bool
) -> None:
    fault = nested(b'"id":')
    line = Line("nested", "complete", "complete", None, 1, None, fault)
    await it.disturb(line, position, for_ever=False)
    await it.run()
    outcome = await it.outcome()
    assert (outcome["status"], outcome["retries"]) == ("complete", 0)
    assert (outcome["fetched"], outcome["inserted"], outcome["rejected"]) == (fetched, stored, 1)
    # Nobody knows the id of that record: it may be any that is not on the list.
    assert outcome["missing"] == 0
    rejected = await it.site.row("SELECT reason, length(payload) AS length FROM rejected_invoices")
    assert rejected["reason"] == "it is nested too deeply"
    assert rejected["length"] > 40_000
    page = 2 if position.name == "re-walk" else position.nth
    it.account.script = on_page(page, fault) if for_ever else None
    await it.run()
    outcome = await it.outcome()
    assert outcome["status"] == "complete"
    assert (outcome["rejected"], outcome["missing"]) == ((1, 0) if for_ever else (0, 1))


@pytest.mark.parametrize(
    ("fault", "reason", "counts"),
    [
        (EdgeError(520), "unavailable", (3, 6, 2)),
        (html(200), "malformed_response", (3, 6, 2)),
        (throttled(Retry_After="300"), "rate_limited", (3, 6, 2)),
        # In each of three walks, since a list that became shorter is refused in the same way.
        (Answer(400, REFUSAL), "request_rejected", (9, 12, 0)),
    ],
    ids=["unavailable", "malformed", "throttled", "rejected"],
)
@pytest.mark.parametrize("page", [2, 3, 4])
async def test_a_page_that_fails_for_ever_costs_none_that_is_under_way(
    it: Disturbed, page: int, fault: Fault, reason: str, counts: tuple[int, int, int]
) -> None:
    it.account.script = on_page(page, fault)
    await it.site.run(with_account(walk=WalkSettings(per_page=PER_PAGE, concurrency=8)))
    outcome = await it.outcome()
    assert (outcome["status"], outcome["reason"]) == ("incomplete", reason)
    assert (outcome["pages"], outcome["requests"], outcome["retries"]) == counts
    expected = {
        invoice["id"]
        for position, invoice in enumerate(it.account.invoices)
        if position // PER_PAGE + 1 != page
    }
    stored = await it.site.rows("SELECT id FROM invoices WHERE id <> 'in_former'")
    assert {row["id"] for row in stored} == expected
    assert await it.site.rows("SELECT id FROM invoices WHERE missing_since IS NOT NULL") == []


async def test_every_fault_at_once_leaves_the_other_accounts_complete(it: Disturbed) -> None:
    lines = [
        line
        for line in LINES
        if not isinstance(line.fault, Refused | Hang | Trickle) and line.error is not None
    ]
    for number, line in enumerate(lines):
        it.site.add(f"faulty-{number}", 25).script = on_page(1, line.fault)  # type: ignore[arg-type]
        if number % 4 == 0:
            it.site.add(f"sound-{number}", 25)
    result = await it.site.run(ONE_BY_ONE)
    ended = {record.account_name: (record.status, record.reason) for record in result.records}
    for number, line in enumerate(lines):
        assert (line.name, *ended.pop(f"faulty-{number}")) == (line.name, "failed", line.for_ever)
    assert len(ended) >= 10
    assert set(ended.values()) == {("complete", None)}
    assert result.status == "partial"
    stored = await it.site.rows("SELECT account_id, count(*) FROM invoices GROUP BY account_id")
    sound = {it.site.accounts[name].id for name in ended}
    assert {row["account_id"] for row in stored} == sound
