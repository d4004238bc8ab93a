"""Invoices that the API lists no more: marked, told, taken back, or not believed."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from syncer.store.absence import Absence, is_mass_disappearance
from syncer.store.invoices import MergeCounts
from tests.integration.stored import ACCOUNT, change, fetch, invoice, invoices, merge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncer.invoice import Invoice
    from syncer.store.engine import Database

RUN = UUID("00000000-0000-4000-8000-000000000002")


async def merge_exactly(
    database: Database, rows: Sequence[Invoice], *, complete: bool = True
) -> MergeCounts:
    """Merge a walk that met these rows and no others, and record the outcome where complete."""
    counts = await merge(database, rows, listed=[row.id for row in rows])
    if complete and not counts.withheld:
        await change(database, "UPDATE sync_state SET last_complete_at = clock_timestamp()")
    return counts


async def missing(database: Database) -> list[str]:
    rows = await fetch(
        database, "SELECT id FROM invoices WHERE missing_since IS NOT NULL ORDER BY id"
    )
    return [row["id"] for row in rows]


@pytest.mark.parametrize(
    ("live", "gone", "mass"),
    [
        (20, 20, False),
        (21, 10, False),
        (21, 11, True),
        (22, 11, False),
        (22, 12, True),
        (1000, 500, False),
        (1000, 501, True),
        (1000, 0, False),
        (0, 0, False),
    ],
)
def test_more_than_half_of_more_than_twenty_is_not_believed(
    live: int, gone: int, *, mass: bool
) -> None:
    assert is_mass_disappearance(Absence(live=live, gone=gone, absent=())) is mass


async def test_what_is_listed_no_more_is_marked_and_told(database: Database) -> None:
    rows = invoices(3, status="open")
    await merge(database, rows, listed=[row.id for row in rows])
    counts = await merge(database, rows[:2], listed=[row.id for row in rows[:2]], run_id=RUN)
    assert counts == MergeCounts(unchanged=2, missing=1)
    marked = await fetch(
        database,
        """SELECT id, missing_since IS NOT NULL AS missing, changed_at = first_seen_at AS unchanged
        FROM invoices ORDER BY id""",
    )
    assert marked == [
        {"id": "in_00000", "missing": False, "unchanged": True},
        {"id": "in_00001", "missing": False, "unchanged": True},
        {"id": "in_00002", "missing": True, "unchanged": True},
    ]
    (entry,) = await fetch(
        database,
        """SELECT invoice_history.account_id, run_id, change, after, observed_at = missing_since
            AS at_once, before = jsonb_build_object(
                'id', invoices.id, 'status', status, 'currency', currency, 'amount_due', amount_due,
                'amount_paid', amount_paid, 'amount_remaining', amount_remaining,
                'attempt_count', null, 'attempted', null, 'auto_advance', null,
                'created_at', null, 'created_by', null, 'description', null,
                'invoice_origin', null, 'extra', null
            ) AS before
        FROM invoice_history JOIN invoices ON invoices.id = invoice_id""",
    )
    assert entry == {
        "account_id": ACCOUNT,
        "run_id": RUN,
        "change": "missing",
        "after": None,
        "at_once": True,
        "before": True,
    }


async def test_what_is_missing_is_not_marked_again(database: Database) -> None:
    await merge(database, invoices(3))
    listed = ["in_00000", "in_00001"]
    await merge(database, invoices(2), listed=listed)
    assert await merge(database, invoices(2), listed=listed) == MergeCounts(unchanged=2)
    assert await fetch(database, "SELECT count(*) AS n FROM invoice_history") == [{"n": 1}]


@pytest.mark.parametrize("status", ["open", "paid"])
async def test_what_comes_back_is_unmarked_and_told(database: Database, status: str) -> None:
    await merge(database, [invoice("in_1", status="open")])
    await merge(database, [], listed=[])
    counts = await merge(database, [invoice("in_1", status=status)], listed=["in_1"])
    assert counts == MergeCounts(updated=1)
    told = await fetch(
        database,
        """SELECT change, before ->> 'status' AS before, after ->> 'status' AS after
        FROM invoice_history ORDER BY id""",
    )
    assert told == [
        {"change": "missing", "before": "open", "after": None},
        {"change": "reappeared", "before": "open", "after": status},
    ]
    (row,) = await fetch(
        database,
        "SELECT status, missing_since, changed_at > first_seen_at AS changed FROM invoices",
    )
    assert row == {"status": status, "missing_since": None, "changed": status != "open"}


async def test_what_came_and_went_during_the_walk_is_missing_at_its_end(
    database: Database,
) -> None:
    await merge(database, invoices(3, status="open"))
    await change(database, "UPDATE invoices SET missing_since = now() WHERE id = 'in_00002'")
    rows = [*invoices(3, status="paid"), invoice("new")]
    counts = await merge(database, rows, listed=["in_00000"])
    assert counts == MergeCounts(inserted=1, updated=3, missing=3)
    assert await missing(database) == ["in_00001", "in_00002", "new"]
    told = await fetch(
        database,
        """SELECT invoice_id, array_agg(change ORDER BY id) AS changes,
            array_agg(before ->> 'status' ORDER BY id) AS before
        FROM invoice_history GROUP BY invoice_id ORDER BY invoice_id""",
    )
    assert told == [
        {"invoice_id": "in_00000", "changes": ["changed"], "before": ["open"]},
        {"invoice_id": "in_00001", "changes": ["changed", "missing"], "before": ["open", "paid"]},
        {
            "invoice_id": "in_00002",
            "changes": ["reappeared", "missing"],
            "before": ["open", "paid"],
        },
        {"invoice_id": "new", "changes": ["missing"], "before": [None]},
    ]


async def test_a_walk_that_proves_nothing_marks_nothing(database: Database) -> None:
    await merge(database, invoices(3))
    assert await merge(database, invoices(1), listed=None) == MergeCounts(unchanged=1)
    assert await fetch(database, "SELECT 1 FROM invoices WHERE missing_since IS NOT NULL") == []


async def test_what_is_listed_as_an_invalid_record_is_not_missing(database: Database) -> None:
    await merge(database, invoices(2))
    counts = await merge(database, invoices(1), listed=["in_00000", "in_00001"])
    assert counts == MergeCounts(unchanged=1)


async def test_another_account_keeps_its_invoices(database: Database) -> None:
    await merge(database, invoices(2), account_id="other")
    assert await merge(database, invoices(1), listed=["in_00000"]) == MergeCounts(inserted=1)
    assert await fetch(database, "SELECT 1 FROM invoices WHERE missing_since IS NOT NULL") == []


@pytest.mark.parametrize(
    ("stored", "remaining", "counts"),
    [
        (20, 0, MergeCounts(missing=20)),
        (21, 11, MergeCounts(unchanged=11, missing=10)),
        (21, 10, MergeCounts(unchanged=10, withheld=11)),
        (22, 11, MergeCounts(unchanged=11, missing=11)),
        (30, 0, MergeCounts(withheld=30)),
    ],
)
async def test_a_mass_disappearance_marks_nothing(
    database: Database, stored: int, remaining: int, counts: MergeCounts
) -> None:
    await merge(database, invoices(stored))
    rows = invoices(remaining)
    assert await merge(database, rows, listed=[row.id for row in rows]) == counts
    marked = await fetch(database, "SELECT count(missing_since) AS n FROM invoices")
    told = await fetch(database, "SELECT count(*) AS n FROM invoice_history")
    assert marked == told == [{"n": counts.missing}]


async def test_new_invoices_make_up_for_no_loss(database: Database) -> None:
    await merge(database, invoices(30))
    fresh = [invoice(f"new_{number}") for number in range(100)]
    counts = await merge(database, fresh, listed=[row.id for row in fresh])
    assert counts == MergeCounts(inserted=100, withheld=30)


async def test_what_was_missing_before_is_no_loss(database: Database) -> None:
    await merge(database, invoices(30))
    await change(database, "UPDATE invoices SET missing_since = now() WHERE id >= 'in_00010'")
    counts = await merge(database, invoices(1), listed=["in_00000"])
    assert counts == MergeCounts(unchanged=1, missing=9)


async def test_what_a_withheld_walk_added_makes_up_for_no_loss_later(database: Database) -> None:
    await merge_exactly(database, invoices(30))
    foreign = [invoice(f"other_{number:02}") for number in range(40)]
    assert await merge_exactly(database, foreign) == MergeCounts(inserted=40, withheld=30)
    for _ in range(3):
        assert await merge_exactly(database, foreign) == MergeCounts(unchanged=40, withheld=30)
    assert await missing(database) == []


async def test_what_a_withheld_walk_added_goes_when_the_api_is_right_again(
    database: Database,
) -> None:
    await merge_exactly(database, invoices(30))
    foreign = [invoice(f"other_{number:02}") for number in range(40)]
    await merge_exactly(database, foreign)
    assert await merge_exactly(database, invoices(30)) == MergeCounts(unchanged=30, missing=40)
    assert await missing(database) == [row.id for row in foreign]
    assert await merge_exactly(database, invoices(30)) == MergeCounts(unchanged=30)


async def test_what_a_complete_walk_added_counts_from_then_on(database: Database) -> None:
    await merge_exactly(database, invoices(5))
    await merge_exactly(database, invoices(30))
    assert await merge_exactly(database, invoices(5)) == MergeCounts(unchanged=5, withheld=25)


async def test_an_account_that_was_never_complete_counts_everything(database: Database) -> None:
    await merge_exactly(database, invoices(30), complete=False)
    fresh = [invoice(f"new_{number:02}") for number in range(40)]
    counts = await merge_exactly(database, fresh, complete=False)
    assert counts == MergeCounts(inserted=40, withheld=30)
    counts = await merge_exactly(database, invoices(30), complete=False)
    assert counts == MergeCounts(unchanged=30, withheld=40)
    assert await missing(database) == []


async def test_the_state_of_another_account_does_not_matter(database: Database) -> None:
    await merge_exactly(database, [], complete=False)
    await merge(database, [], account_id="other")
    await change(
        database,
        "UPDATE sync_state SET last_complete_at = clock_timestamp() WHERE account_id = 'other'",
    )
    await merge_exactly(database, invoices(30), complete=False)
    assert await merge_exactly(database, []) == MergeCounts(withheld=30)
