"""Which rows of the history go, in which pieces, and beside whom."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from syncer.stop import Stop
from syncer.store.engine import Database
from syncer.store.invoices import Batch, merge_invoices
from syncer.store.journal import fence_account
from syncer.store.locks import Locks
from syncer.store.privileges import missing_privileges
from syncer.store.retention import BATCH_ROWS, PRUNING_KEY
from syncer.store.walks import read_walk
from syncer.sync.pruning import prune
from tests.documents import blocks
from tests.integration.past import A_LIFE, age_of, day, forgotten, had_walks, horizon, life_of
from tests.integration.stored import ACCOUNT, change, fetch, invoice, merge, opened
from tests.sessions import holding, session

DAYS = timedelta(days=1)
# Changes of one invoice, an hour apart, the newest of them so many days old.
OLD_CHANGES = """
INSERT INTO invoice_history (account_id, invoice_id, run_id, observed_at, change, before, after)
SELECT 'a', 'in_1', gen_random_uuid(), now() - interval '{days} days' - number * interval '1 h',
    'changed', '{{}}', '{{}}'
FROM generate_series({changes}, 1, -1) AS number
"""


async def count(database: Database) -> int:
    ((row),) = await fetch(database, "SELECT count(*) FROM invoice_history")
    return int(row["count"])


async def test_what_is_older_goes_and_nothing_else(database: Database) -> None:
    await had_walks(database, *A_LIFE)
    tables = ("invoices", "sync_runs", "account_syncs", "sync_state")
    others = [await fetch(database, f"SELECT * FROM {table}") for table in tables]
    history = await fetch(database, "SELECT * FROM invoice_history ORDER BY id")
    assert await forgotten(database, age_of(3.5)) == [
        {
            "event": "retention.pruned",
            "log_level": "info",
            "sync_runs": 0,
            "account_syncs": 0,
            "invoice_history": 2,
        }
    ]
    assert await fetch(database, "SELECT * FROM invoice_history ORDER BY id") == history[2:]
    assert [row["observed_at"] for row in history] == [day(n) for n in (1, 2, 4, 5, 5)]
    assert [await fetch(database, f"SELECT * FROM {table}") for table in tables] == others
    assert await forgotten(database, age_of(3.5)) == []


async def test_nothing_goes_unless_asked_or_while_it_is_young(database: Database) -> None:
    await had_walks(database, *A_LIFE)
    assert await forgotten(database, None) == []
    assert await forgotten(database, age_of(0.5)) == []
    assert await count(database) == 5
    assert await horizon(database) is None


async def test_each_batch_moves_the_horizon_in_its_own_transaction(database: Database) -> None:
    await change(database, OLD_CHANGES.format(days=100, changes=BATCH_ROWS * 2 + 7))
    await change(database, OLD_CHANGES.format(days=1, changes=5))
    await change(database, "CREATE TABLE batches (transaction xid8, since timestamptz)")
    await change(
        database,
        """CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO batches VALUES (pg_current_xact_id(), NEW.since); RETURN NULL; END $$
        """,
    )
    await change(
        database,
        """CREATE TRIGGER note AFTER INSERT OR UPDATE ON history_horizon
        FOR EACH ROW EXECUTE FUNCTION note()""",
    )
    (event,) = await forgotten(database, 90 * DAYS)
    assert event["invoice_history"] == BATCH_ROWS * 2 + 7
    (noted,) = await fetch(
        database,
        """SELECT count(DISTINCT transaction), count(DISTINCT since) AS steps,
            max(since) = (SELECT since FROM history_horizon) AS last,
            now() - max(since) BETWEEN '100 days' AND '101 days' AS young
        FROM batches""",
    )
    assert noted == {"count": 3, "steps": 3, "last": True, "young": True}
    assert await count(database) == 5


async def test_a_stop_ends_it(database: Database) -> None:
    await had_walks(database, *A_LIFE)
    stop = Stop()
    stop.request()
    await prune(database, keep_runs=DAYS, keep_history=DAYS, stop=stop)
    assert await count(database) == 5


async def test_one_at_a_time(database: Database, database_dsn: str) -> None:
    await had_walks(database, *A_LIFE)
    lock = f"hashtextextended(format('{PRUNING_KEY}', current_schema()), 0)"
    async with holding(database_dsn, f"SELECT pg_advisory_xact_lock({lock})") as other:
        assert await forgotten(database, DAYS) == []
        await other.execute("ROLLBACK")
    (event,) = await forgotten(database, DAYS)
    assert event["invoice_history"] == 5


async def test_neither_waits_for_a_merge_that_writes_history(database: Database) -> None:
    await had_walks(database, *A_LIFE)
    batch = Batch([invoice("in_1", status="void")], (), frozenset({"in_1", "in_2"}))
    async with Locks(database) as locks, database.transaction() as merging:
        assert await locks.try_account(ACCOUNT)
        started_at, _ = await read_walk(merging, ACCOUNT, longest=timedelta())
        await fence_account(merging, ACCOUNT, started_at)
        assert (await merge_invoices(merging, ACCOUNT, uuid4(), batch)).updated == 1
        (event,) = await forgotten(database, age_of(6))
        assert event["invoice_history"] == 5
        assert await life_of(database) == [(1, 5, None, "kept", True, "paid")]
    kept, now = await life_of(database)
    assert (kept[0], kept[1], kept[3:]) == (1, 5, ("kept", True, "paid"))
    assert (now[1], now[2:]) == (kept[2], (None, "changed", True, "void"))


async def test_a_merge_waits_for_no_batch(database: Database, database_dsn: str) -> None:
    await had_walks(database, *A_LIFE)
    # A batch that never ends.
    async with holding(
        database_dsn,
        "DELETE FROM invoice_history; INSERT INTO history_horizon (since) VALUES (now())",
    ):
        counts = await merge(database, [invoice("in_1", status="void")])
    assert counts.updated == 1
    assert await count(database) == 6


async def test_without_the_horizon_nothing_goes(database: Database) -> None:
    await had_walks(database, *A_LIFE)
    refused = "ALTER TABLE history_horizon ADD CHECK (since IS NULL)"
    await change(database, refused)
    (event,) = await forgotten(database, age_of(3.5))
    assert (event["event"], event["log_level"]) == ("retention.failed", "warning")
    assert await count(database) == 5


async def test_the_daemons_role_needs_rights_of_its_own(
    database: Database, database_dsn: str, daemon_dsn: str
) -> None:
    await had_walks(database, *A_LIFE)
    runs, history = (block.text for block in blocks("docs/retention.md") if block.language == "sql")
    async with opened(Database(daemon_dsn)) as daemon, session(database_dsn) as admin:
        async with daemon.transaction() as conn:
            role = (await conn.execute(text("SELECT current_user"))).scalar_one()
            assert await missing_privileges(conn) is None
            lacking = await missing_privileges(conn, pruned=("sync_runs", "invoice_history"))
        assert lacking == (
            "DELETE on sync_runs, invoice_history; INSERT on history_horizon;"
            " UPDATE on history_horizon"
        )
        await admin.execute(runs.replace("syncer_daemon", role))
        (event,) = await forgotten(daemon, age_of(3.5))
        assert (event["event"], event["log_level"]) == ("retention.failed", "warning")
        assert "permission denied" in event["error"]
        await admin.execute(history.replace("syncer_daemon", role))
        async with daemon.transaction() as conn:
            assert await missing_privileges(conn, pruned=("sync_runs", "invoice_history")) is None
        (event,) = await forgotten(daemon, age_of(3.5))
        assert event["invoice_history"] == 2
        for statement in ("UPDATE invoice_history SET change = 'missing'", "DELETE FROM invoices"):
            with pytest.raises(Exception, match="permission denied"):
                await change(daemon, statement)
