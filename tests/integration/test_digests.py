"""What a sync compares and writes when it knows what is stored, and when it knows it no more."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import pytest
import structlog

from syncer.cloudflare.walk import WalkSettings
from syncer.demo.answers import Settings
from syncer.demo.faults import EdgeError, Fault
from syncer.digests import VERSION
from syncer.errors import Reason
from tests.integration.running import Site, of, with_account
from tests.integration.serving import record, sync
from tests.integration.unseen import UNSEEN, compared, synced, unnoticed, written

if TYPE_CHECKING:
    from syncer.demo.account import SeenRequest


@pytest.mark.parametrize("links", ["stable", "anew"])
async def test_where_nothing_changed_no_row_is_written(
    here: Site, links: Literal["stable", "anew"]
) -> None:
    here.api.settings = Settings(pdf_links=links)
    here.add("production", 120)
    here.add("empty", 0)
    assert await synced(here) == (120, 0, 0, 0)
    before, asked = await written(here), len(here.api.requests)
    for _ in range(2):
        assert await synced(here) == (0, 0, 120, 0)
    assert await written(here) == before
    # Three pages of one account and one of the other, twice.
    assert len(here.api.requests) - asked == 8


async def test_what_is_known_is_not_compared(here: Site) -> None:
    here.add("production", 120)
    await here.run()
    await unnoticed(here, UNSEEN)
    assert await synced(here) == (0, 0, 120, 0)
    assert await compared(here) == set()


async def test_a_change_on_one_page_of_many_costs_its_own_comparison(here: Site) -> None:
    account = here.add("production", 120)
    await here.run()
    await unnoticed(here, UNSEEN)
    account.invoices[60] |= {"description": "changed"}
    assert await synced(here) == (0, 1, 119, 0)
    assert await compared(here) == {account.invoices[60]["id"]}
    assert await synced(here) == (0, 0, 120, 0)
    assert len(await compared(here)) == 1


async def test_a_new_invoice_that_moves_all_others_is_compared_alone(here: Site) -> None:
    account = here.add("production", 120)
    await here.run()
    await unnoticed(here, UNSEEN)
    account.invoices.insert(0, account.invoices[0] | {"id": "in_new"})
    assert await synced(here) == (1, 0, 120, 0)
    assert await compared(here) == {"in_new"}


async def test_news_do_not_put_the_next_full_comparison_off(here: Site) -> None:
    account = here.add("production", 60)
    await here.run()
    await here.execute("UPDATE account_digests SET compared_at = now() - interval '23 hours'")
    account.invoices[0] |= {"description": "changed"}
    assert await synced(here) == (0, 1, 59, 0)
    row = await here.row(
        "SELECT compared_at < now() - interval '22 hours' AS kept FROM account_digests"
    )
    assert row == {"kept": True}


@pytest.mark.parametrize(
    ("every", "compared_at"), [(timedelta(0), "now()"), (timedelta(1), "now() + interval '1h'")]
)
async def test_all_is_compared_always_or_after_a_clock_was_set_back(
    here: Site, every: timedelta, compared_at: str
) -> None:
    here.add("production", 60)
    await here.run()
    await here.execute(f"UPDATE account_digests SET compared_at = {compared_at}")
    await unnoticed(here, UNSEEN)
    assert await synced(here, with_account(full_compare_every=every)) == (0, 60, 0, 0)


async def test_digests_of_another_version_count_for_nothing_and_cost_no_row(here: Site) -> None:
    here.api.settings = Settings(pdf_links="anew")
    account = here.add("production", 60)
    account.invoices[3].pop("currency")
    await here.run()
    await here.execute(f"UPDATE account_digests SET version = {VERSION + 1}")
    before = [row for row in await written(here) if row["name"] != "account_digests"]
    assert await synced(here) == (0, 0, 59, 0)
    assert [row for row in await written(here) if row["name"] != "account_digests"] == before
    assert await here.rows("SELECT version FROM account_digests") == [{"version": VERSION}]


async def test_rejected_records_are_counted_and_told_at_each_sync(here: Site) -> None:
    account = here.add("production", 60)
    account.invoices[3].pop("currency")
    await here.run()
    before = await written(here)
    for _ in range(2):
        with structlog.testing.capture_logs() as events:
            outcome = of(await here.run(), "production")
        assert (outcome.status, outcome.unchanged, outcome.rejected) == ("complete", 59, 1)
        told = [event for event in events if event["event"] == "invoice.rejected"]
        assert [(event["reason"], event["count"]) for event in told] == [("currency is missing", 1)]
    assert await written(here) == before


async def test_an_invoice_that_comes_back_as_it_was_reappears(here: Site) -> None:
    account = here.add("production", 60)
    await here.run()
    gone = account.invoices.pop(20)
    assert await synced(here) == (0, 0, 59, 1)
    assert await synced(here) == (0, 0, 59, 0)
    account.invoices.insert(20, gone)
    assert await synced(here) == (0, 1, 59, 0)
    assert await synced(here) == (0, 0, 60, 0)
    changes = await here.rows("SELECT invoice_id, change FROM invoice_history ORDER BY id")
    assert [tuple(row.values()) for row in changes] == [
        (gone["id"], "missing"),
        (gone["id"], "reappeared"),
    ]


@pytest.mark.parametrize("failing", [None, 1, 2, 3])
async def test_a_change_and_its_undoing_end_right_whichever_page_of_the_walk_between_fails(
    here: Site, failing: int | None
) -> None:
    account = here.add("production", 120)
    await here.run()
    originals = {at: account.invoices[at] for at in (10, 60, 110)}
    for at, original in originals.items():
        account.invoices[at] = original | {"status": "void"}

    def fail(_nth: int, seen: SeenRequest) -> Fault | None:
        return EdgeError(502) if seen.query["page"] == str(failing) else None

    account.script = fail
    for _ in range(2):
        await here.run(with_account(walk=WalkSettings(concurrency=1)))
    account.script = None
    for at, original in originals.items():
        account.invoices[at] = original
    await here.run()
    rows = await here.rows("SELECT id, status FROM invoices")
    assert {row["id"]: row["status"] for row in rows} == {
        one["id"]: one["status"] for one in account.invoices
    }
    changes = await here.rows("""
        SELECT count(*) AS n FROM invoice_history GROUP BY invoice_id ORDER BY invoice_id
    """)
    # Each change that was seen was undone.
    seen_changes = {None: 3, 1: 0, 2: 1, 3: 2}[failing]
    assert [row["n"] for row in changes] == [2] * seen_changes


async def test_an_account_that_was_never_whole_is_never_settled(here: Site) -> None:
    """What is missing is marked as soon as a walk proves it, though it brings nothing new."""
    account = here.add("production", 60)
    await here.run()
    del account.invoices[55:]
    here.api.settings = Settings(total_count=60)
    fewer = of(await here.run(), "production")
    assert (fewer.status, fewer.reason, fewer.missing) == (
        "incomplete",
        "fewer_than_reported",
        0,
    )
    here.api.settings = Settings()
    assert await synced(here) == (0, 0, 55, 5)
    assert await synced(here) == (0, 0, 55, 0)


async def test_too_many_missing_to_be_believed_are_told_at_each_sync(here: Site) -> None:
    account = here.add("production", 60)
    await here.run()
    del account.invoices[5:]
    for _ in range(3):
        doubted = of(await here.run(), "production")
        assert (doubted.reason, doubted.unchanged) == (Reason.MASS_DISAPPEARANCE, 5)


async def test_a_walk_of_some_invoices_proves_nothing_for_the_same_walk_of_all(here: Site) -> None:
    account = here.add("production", 60)
    for invoice in account.invoices:
        invoice["invoice_origin"] = "manual"
    await here.run()
    del account.invoices[50:]
    assert await synced(here, with_account(walk=WalkSettings(invoice_type="manual"))) == (
        0,
        0,
        50,
        0,
    )
    assert await synced(here) == (0, 0, 50, 10)


async def test_an_id_that_came_twice_is_compared_the_next_time(here: Site) -> None:
    here.add("production", 0)
    first, last = record('"in_1"', status='"first"'), record('"in_1"', status='"last"')
    await sync(here, "production", [first, last])
    assert await here.rows("SELECT status FROM invoices") == [{"status": "last"}]
    await sync(here, "production", [first])
    assert await here.rows("SELECT status FROM invoices") == [{"status": "first"}]
