"""What is told of the past when some of it was deleted: of no moment anything but the truth."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncer.store.engine import Database
from syncer.store.retention import prune_history
from tests.documents import blocks, section
from tests.integration.past import (
    A_LIFE,
    AT_EACH_MOMENT,
    FEED,
    Listing,
    age_of,
    day,
    forgotten,
    had_walks,
    horizon,
    life_of,
)
from tests.integration.running import EMPTIED
from tests.integration.stored import change, fetch, opened
from tests.sessions import session

QUERIES = "docs/queries.md"
# Two walks are never of one moment here, so every version lasts for a while.
LASTING = "SELECT * FROM invoice_versions WHERE coalesce(valid_to > valid_from, true)"


async def test_the_rest_begins_at_the_horizon(database: Database) -> None:
    await had_walks(database, *A_LIFE)
    assert await life_of(database) == [
        (1, 0, 1, "appeared", True, "draft"),
        (2, 1, 2, "changed", True, "open"),
        (3, 2, 4, "missing", False, "open"),
        (4, 4, 5, "reappeared", True, "open"),
        (5, 5, None, "changed", True, "paid"),
    ]
    await forgotten(database, age_of(1.5))
    # Where the newest of what was deleted is, not where what was asked for ends.
    assert await horizon(database) == day(1)
    assert await life_of(database) == [
        (1, 1, 2, "kept", True, "open"),
        (2, 2, 4, "missing", False, "open"),
        (3, 4, 5, "reappeared", True, "open"),
        (4, 5, None, "changed", True, "paid"),
    ]
    assert await life_of(database, "in_2") == [(1, 1, None, "kept", True, "open")]


async def test_what_was_missing_at_the_horizon_is_not_listed(database: Database) -> None:
    await had_walks(database, *A_LIFE)
    await forgotten(database, age_of(2.5))
    assert await life_of(database) == [
        (1, 2, 4, "kept", False, "open"),
        (2, 4, 5, "reappeared", True, "open"),
        (3, 5, None, "changed", True, "paid"),
    ]
    assert await life_of(database, "in_3") == [
        (1, 3, 5, "appeared", True, "draft"),
        (2, 5, None, "missing", False, "draft"),
    ]
    await forgotten(database, age_of(6))
    assert await fetch(database, "SELECT * FROM invoice_history") == []
    assert await life_of(database) == [(1, 5, None, "kept", True, "paid")]
    assert await life_of(database, "in_3") == [(1, 5, None, "kept", False, "draft")]


async def test_a_horizon_never_moves_back(database: Database) -> None:
    await had_walks(database, *A_LIFE)
    await forgotten(database, age_of(4.5))
    assert await horizon(database) == day(4)
    told = await fetch(database, AT_EACH_MOMENT)
    # Such as a backup of the table brings back; it is told no more, and goes again.
    await change(
        database,
        """INSERT INTO invoice_history (account_id, invoice_id, run_id, observed_at, change, before)
        OVERRIDING SYSTEM VALUE
        SELECT account_id, id, gen_random_uuid(), '2025-01-02 00:00+00', 'missing', '{}'
        FROM invoices""",
    )
    assert await fetch(database, AT_EACH_MOMENT) == told
    (event,) = await forgotten(database, age_of(3))
    assert event["invoice_history"] == 3
    assert await horizon(database) == day(4)
    assert await fetch(database, AT_EACH_MOMENT) == told


def pasts() -> st.SearchStrategy[list[Listing]]:
    status = st.sampled_from(["draft", "open", None, None])
    listing = st.fixed_dictionaries({f"in_{number}": status for number in (1, 2, 3)})
    return st.lists(
        listing.map(lambda all_: {id_: status for id_, status in all_.items() if status}),
        min_size=2,
        max_size=7,
    )


@pytest.mark.thorough
@settings(
    max_examples=settings().max_examples // 8,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    past=pasts(),
    cuts=st.lists(st.sampled_from([0.5, 1.5, 2.5, 3.5, 9]), min_size=1, max_size=3),
    rows=st.integers(1, 4),
)
async def test_of_each_moment_the_same_is_told_as_before_or_nothing(
    database: Database, past: list[Listing], cuts: list[float], rows: int
) -> None:
    await change(database, EMPTIED)
    await change(database, "DELETE FROM history_horizon")
    await had_walks(database, *past)
    moments, feed = await fetch(database, AT_EACH_MOMENT), await fetch(database, FEED)
    for cut in cuts:
        async with database.transaction() as conn:
            # So few at once end between changes of one moment.
            await prune_history(conn, age=age_of(cut), rows=rows)
        since = await horizon(database) or day(-1)
        assert await fetch(database, AT_EACH_MOMENT) == [
            row for row in moments if row["moment"] >= since
        ]
        assert await fetch(database, FEED) == [row for row in feed if row["observed_at"] > since]
        assert await fetch(database, "TABLE invoice_versions EXCEPT " + LASTING) == []


async def test_a_reader_sees_one_state_throughout(database: Database, database_dsn: str) -> None:
    await had_walks(database, *A_LIFE)
    async with session(database_dsn) as reader:
        transaction = reader.transaction(isolation="repeatable_read")
        await transaction.start()
        before = await reader.fetch(AT_EACH_MOMENT)
        await forgotten(database, age_of(2.5))
        assert await reader.fetch(AT_EACH_MOMENT) == before
        await transaction.rollback()
        assert await reader.fetch(AT_EACH_MOMENT) == [
            row for row in before if row["moment"] >= day(2)
        ]


def question(heading: str) -> str:
    """The query below a heading of the page."""
    text = section(QUERIES, heading)
    return next(block.text for block in blocks(QUERIES) if block.text in text)


async def test_a_close_before_the_horizon_is_no_figure_instead_of_a_wrong_one(
    filled_dsn: str,
) -> None:
    close = question("### What was owed at the end of the month?")
    since = question("### How far back does the past reach?")

    async def ask(query: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in await reader.fetch(query)]

    async with opened(Database(filled_dsn)) as database, session(filled_dsn) as reader:
        owed = await ask(close)
        assert len(owed) == 6
        assert await ask(since) == [(None,)]
        await forgotten(database, datetime.now(UTC) - datetime(2025, 11, 1, tzinfo=UTC))
        assert await ask(close) == owed
        await forgotten(database, datetime.now(UTC) - datetime(2025, 11, 4, tzinfo=UTC))
        assert await ask(close) == []
        ((told,),) = await ask(since)
        assert str(told).startswith("2025-11-03 06:00")
