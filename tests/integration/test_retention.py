"""What of the journal goes, in which pieces, and what stays."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import structlog
from sqlalchemy import text

from syncer.errors import DatabaseError
from syncer.stop import Stop
from syncer.store.engine import Database
from syncer.store.locks import RUN_KEY
from syncer.store.privileges import missing_privileges
from syncer.store.retention import BATCH_ROWS, PRUNING_KEY
from syncer.sync.pruning import BATCHES, prune
from tests.documents import blocks
from tests.integration.stored import change, fetch, opened
from tests.sessions import holding, session

if TYPE_CHECKING:
    from structlog.typing import EventDict

    from tests.integration.running import Site

DAYS = timedelta(days=1)
# Runs of so many accounts, an hour apart, the newest of them so many days old.
OLD_RUNS = """
WITH runs AS (
    INSERT INTO sync_runs (id, trigger, started_at, status, version, host, accounts_total)
    SELECT gen_random_uuid(), 'schedule', now() - interval '{days} days' - number * interval '1 h',
        '{status}', '1', 'h', {accounts}
    FROM generate_series(1, {runs}) AS number
    RETURNING id
)
INSERT INTO account_syncs (run_id, account_id)
SELECT id, 'account ' || number FROM runs, generate_series(1, {walks}) AS number
"""


async def had_runs(  # a past of the journal
    database: Database,
    runs: int,
    *,
    days: int,
    accounts: int = 2,
    walks: int = 2,
    status: str = "succeeded",
) -> None:
    values = {"runs": runs, "days": days, "accounts": accounts, "walks": walks, "status": status}
    await change(database, OLD_RUNS.format(**values))


async def count(database: Database, table: str) -> int:
    ((row),) = await fetch(database, f"SELECT count(*) FROM {table}")
    return int(row["count"])


async def pruned(database: Database, keep: timedelta | None = 90 * DAYS) -> list[EventDict]:
    """What the log says of it."""
    with structlog.testing.capture_logs() as events:
        await prune(database, keep_runs=keep, keep_history=None, stop=Stop())
    return list(events)


async def test_what_is_older_goes_with_its_walks_and_nothing_else(here: Site) -> None:
    account = here.add("production", 60)
    account.invoices[1].pop("currency")
    await here.run()
    account.invoices[0]["status"] = "void"
    await here.run()
    await had_runs(here.database, 3, days=90)
    await had_runs(here.database, 4, days=88)
    tables = ("invoices", "invoice_history", "rejected_invoices", "sync_state", "account_digests")
    before = [await fetch(here.database, f"SELECT * FROM {table}") for table in tables]
    assert await pruned(here.database) == [
        {
            "event": "retention.pruned",
            "log_level": "info",
            "sync_runs": 3,
            "account_syncs": 6,
            "invoice_history": 0,
        }
    ]
    assert await count(here.database, "sync_runs") == 2 + 4
    assert await count(here.database, "account_syncs") == 2 + 8
    assert [await fetch(here.database, f"SELECT * FROM {table}") for table in tables] == before
    assert all(before)
    assert await pruned(here.database) == []


async def test_the_last_run_of_an_account_stays_however_old(here: Site) -> None:
    here.add("production", 3)
    first = await here.run()
    second = await here.run()
    here.add("research", 3)
    del here.accounts["production"]
    third = await here.run()
    await change(here.database, "UPDATE sync_runs SET started_at = now() - interval '5 years'")
    await here.execute(f"UPDATE account_digests SET run_id = '{second.run_id}'")
    await pruned(here.database)
    kept = {row["id"] for row in await fetch(here.database, "SELECT id FROM sync_runs")}
    assert kept == {second.run_id, third.run_id}
    assert first.run_id not in kept


async def test_a_run_that_digests_speak_of_stays(here: Site) -> None:
    here.add("production", 3)
    first = await here.run()
    await here.run()
    await here.execute(f"UPDATE account_digests SET run_id = '{first.run_id}'")
    await change(here.database, "UPDATE sync_runs SET started_at = now() - interval '5 years'")
    assert await pruned(here.database) == []
    assert await count(here.database, "sync_runs") == 2


async def test_a_run_that_is_under_way_stays(database: Database) -> None:
    await had_runs(database, 2, days=400, status="running")
    await had_runs(database, 1, days=400, status="abandoned")
    await pruned(database)
    assert await fetch(database, "SELECT DISTINCT status FROM sync_runs") == [{"status": "running"}]


async def test_nothing_goes_unless_asked(database: Database) -> None:
    await had_runs(database, 3, days=10_000)
    assert await pruned(database, None) == []
    assert await count(database, "sync_runs") == 3


async def test_batches_are_transactions_of_their_own(database: Database) -> None:
    await had_runs(database, 7, days=100, accounts=BATCH_ROWS // 2, walks=1)
    # Statement triggers come once for each batch, and transactions have numbers of their own.
    await change(database, "CREATE TABLE batches (transaction xid8)")
    await change(
        database,
        """CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO batches SELECT pg_current_xact_id() FROM gone; RETURN NULL; END $$""",
    )
    await change(
        database,
        """CREATE TRIGGER note AFTER DELETE ON sync_runs REFERENCING OLD TABLE AS gone
        FOR EACH STATEMENT EXECUTE FUNCTION note()""",
    )
    await pruned(database)
    sizes = await fetch(
        database, "SELECT count(*) FROM batches GROUP BY transaction ORDER BY transaction"
    )
    assert [row["count"] for row in sizes] == [2, 2, 2, 1]


async def test_after_one_run_there_is_an_end_to_it(database: Database) -> None:
    await had_runs(database, BATCHES + 3, days=100, accounts=BATCH_ROWS, walks=1)
    (event,) = await pruned(database)
    assert event["sync_runs"] == BATCHES
    # The oldest first.
    left = await fetch(
        database, "SELECT now() - started_at < interval '101 days' AS young FROM sync_runs"
    )
    assert [row["young"] for row in left] == [True] * 3
    (event,) = await pruned(database)
    assert event["sync_runs"] == 3


async def test_a_stop_ends_it(database: Database) -> None:
    await had_runs(database, 1, days=100)
    stop = Stop()
    stop.request()
    await prune(database, keep_runs=DAYS, keep_history=None, stop=stop)
    assert await count(database, "sync_runs") == 1


async def test_a_row_that_somebody_holds_is_left(database: Database, database_dsn: str) -> None:
    await had_runs(database, 3, days=100)
    oldest = "SELECT id FROM sync_runs ORDER BY started_at LIMIT 1 FOR UPDATE"
    async with holding(database_dsn, oldest) as other:
        (event,) = await pruned(database)
        assert event["sync_runs"] == 2
        await other.execute("ROLLBACK")
    (event,) = await pruned(database)
    assert event["sync_runs"] == 1


async def test_a_sync_waits_for_no_batch(here: Site, database_dsn: str) -> None:
    here.add("production", 60)
    await here.run()
    await had_runs(here.database, 3, days=100)
    # A batch that never ends.
    async with holding(
        database_dsn, "DELETE FROM sync_runs WHERE started_at < now() - interval '9 d'"
    ):
        assert (await here.run()).status == "succeeded"


async def test_one_at_a_time(database: Database, database_dsn: str) -> None:
    await had_runs(database, 3, days=100)
    lock = f"hashtextextended(format('{PRUNING_KEY}', current_schema()), 0)"
    async with holding(database_dsn, f"SELECT pg_advisory_xact_lock({lock})") as other:
        assert await pruned(database) == []
        await other.execute("ROLLBACK")
    (event,) = await pruned(database)
    assert event["sync_runs"] == 3
    assert PRUNING_KEY != RUN_KEY


async def test_the_daemons_role_needs_one_right_more(
    database: Database, database_dsn: str, daemon_dsn: str
) -> None:
    await had_runs(database, 3, days=100)
    grant, *_ = [block.text for block in blocks("docs/retention.md") if block.language == "sql"]
    async with opened(Database(daemon_dsn)) as daemon, session(database_dsn) as admin:
        async with daemon.transaction() as conn:
            assert await missing_privileges(conn) is None
            lacking = await missing_privileges(conn, pruned=("sync_runs",))
            role = (await conn.execute(text("SELECT current_user"))).scalar_one()
        assert lacking == "DELETE on sync_runs"
        (event,) = await pruned(daemon)
        assert (event["event"], event["log_level"]) == ("retention.failed", "warning")
        assert "permission denied" in event["error"]
        await admin.execute(grant.replace("syncer_daemon", role))
        async with daemon.transaction() as conn:
            assert await missing_privileges(conn, pruned=("sync_runs",)) is None
        (event,) = await pruned(daemon)
        assert (event["sync_runs"], event["account_syncs"]) == (3, 6)
        with pytest.raises(DatabaseError, match="permission denied"):
            await change(daemon, "DELETE FROM account_syncs")
