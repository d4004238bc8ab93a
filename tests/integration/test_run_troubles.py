from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import structlog

from syncer.demo.account import SeenRequest
from syncer.demo.faults import EdgeError, Fault, Hang
from syncer.errors import DatabaseUnreachable, Reason
from syncer.stop import Stop
from syncer.store.engine import Database
from syncer.store.locks import Locks
from syncer.sync.record import Recorder
from tests.integration.running import SETTINGS, Site, of
from tests.sessions import ALL, session, terminate

COUNTS = "pages, requests, retries, fetched, inserted, updated, unchanged, missing, rejected"


async def test_an_account_in_other_hands_is_skipped(here: Site) -> None:
    here.add("production", 3)
    async with Locks(here.database) as rival:
        assert await rival.try_account(here.accounts["production"].id)
        result = await here.run()
    record = of(result, "production")
    assert (record.status, record.reason, result.well) == ("skipped", Reason.LOCKED, True)
    assert here.api.requests == []
    assert await here.rows("SELECT 1 AS found FROM sync_state") == []
    assert (await here.row("SELECT status, reason FROM account_syncs")) == {
        "status": "skipped",
        "reason": "locked",
    }


async def test_a_tick_that_was_served_is_not_walked_again_but_a_command_is(here: Site) -> None:
    here.add("production", 3)
    tick = datetime.now(UTC) - timedelta(seconds=5)
    first = await here.run(trigger="schedule", tick=tick)
    second = await here.run(trigger="schedule", tick=tick)
    assert of(first, "production").status == "complete"
    assert of(second, "production").reason is Reason.FRESH
    assert len(here.api.requests) == 1
    await here.run(trigger="schedule", tick=datetime.now(UTC) + timedelta(seconds=5))
    await here.run(trigger="command")
    assert len(here.api.requests) == 3


async def test_a_failed_walk_serves_no_tick(here: Site) -> None:
    account = here.add("production", 3)
    account.script = lambda nth, _seen: EdgeError(500) if nth <= 2 else None
    tick = datetime.now(UTC) - timedelta(seconds=5)
    await here.run(trigger="schedule", tick=tick)
    again = await here.run(trigger="schedule", tick=tick)
    assert of(again, "production").status == "complete"


async def test_a_stop_stores_what_was_fetched_and_begins_nothing_new(here: Site) -> None:
    stop = Stop()
    first = here.add("first", 120)
    here.add("second", 3)

    async def script(nth: int, _seen: SeenRequest) -> Fault | None:
        if nth == 1:
            return None
        stop.request()
        return Hang(None)

    first.script = script
    result = await here.run(replace(SETTINGS, concurrent_accounts=1), stop=stop)
    assert of(result, "first").reason is Reason.INTERRUPTED
    assert of(result, "first").inserted == 50
    second = of(result, "second")
    assert (second.status, second.reason) == ("skipped", Reason.INTERRUPTED)
    assert result.status == "failed"
    run = await here.row("SELECT status FROM sync_runs")
    assert run["status"] == "failed"


async def test_a_stop_skips_all_other_accounts_in_one_go(here: Site) -> None:
    stop = Stop()
    first = here.add("first", 3)
    for number in range(200):
        here.add(f"other-{number}", 3)

    def script(_nth: int, _seen: SeenRequest) -> Fault | None:
        stop.request()
        return Hang(None)

    first.script = script
    result = await here.run(replace(SETTINGS, concurrent_accounts=1), stop=stop)
    others = [record for record in result.records if record.account_name != "first"]
    assert {(record.status, record.reason) for record in others} == {
        ("skipped", Reason.INTERRUPTED)
    }
    rows = await here.rows("""
        SELECT
            status, reason, error_kind, error, requests, started_at, finished_at IS NOT NULL AS at,
            count(*) AS accounts, count(DISTINCT xmin::text) AS transactions
        FROM account_syncs
        WHERE status = 'skipped'
        GROUP BY 1, 2, 3, 4, 5, 6, 7
    """)
    assert rows == [
        {
            "status": "skipped",
            "reason": "interrupted",
            "error_kind": "interrupted",
            "error": "the sync was asked to stop; the next one starts afresh",
            "requests": 0,
            "started_at": None,
            "at": True,
            "accounts": 200,
            "transactions": 1,
        }
    ]


async def test_what_the_database_refuses_fails_one_account_and_is_whole_or_nothing(
    here: Site,
) -> None:
    here.add("good", 60)
    bad = here.add("bad", 60)
    await here.execute(f"""
        ALTER TABLE invoices ADD CONSTRAINT no_more
        CHECK (account_id <> '{bad.id}' OR id <> '{bad.invoices[7]["id"]}')
    """)
    result = await here.run()
    assert of(result, "good").status == "complete"
    record = of(result, "bad")
    assert (record.status, record.reason, record.error_kind) == ("failed", "storage", "storage")
    assert (record.fetched, record.inserted) == (60, 0)
    assert record.error is not None
    assert bad.invoices[7]["id"] not in record.error
    assert (
        await here.rows("SELECT 1 AS found FROM invoices WHERE account_id = :id", id=bad.id) == []
    )
    state = await here.row("SELECT last_status FROM sync_state WHERE account_name = 'bad'")
    assert state["last_status"] == "failed"


async def test_a_failure_that_cannot_be_recorded_is_still_told(here: Site) -> None:
    account = here.add("production", 3)

    async def script(_nth: int, _seen: SeenRequest) -> None:
        await here.execute("ALTER TABLE account_syncs RENAME TO elsewhere")

    account.script = script
    with structlog.testing.capture_logs() as events, pytest.raises(Exception, match="migrate"):
        await here.run()
    (event,) = (event for event in events if event["event"] == "account.failed")
    assert event["reason"] == "storage"


async def test_a_moment_without_connections_costs_no_account(here: Site, database_dsn: str) -> None:
    for name in "abc":
        here.add(name, 60)
    async with session(database_dsn) as admin:

        async def cut(nth: int, _seen: SeenRequest) -> None:
            if nth == 1:
                assert await terminate(admin, ALL) > 1

        here.simulated["b"].script = cut
        result = await here.run(replace(SETTINGS, concurrent_accounts=1))
    assert [record.status for record in result.records] == ["complete"] * 3


async def test_an_account_without_a_readable_credential_fails_alone(here: Site) -> None:
    here.add("good", 3)
    here.add("bad", 3)
    here.accounts["bad"] = replace(here.accounts["bad"], problem="token.txt: no such file")
    result = await here.run()
    assert of(result, "good").status == "complete"
    record = of(result, "bad")
    assert (record.status, record.reason, record.requests) == ("failed", "access_denied", 0)
    assert record.error == "token.txt: no such file"
    state = await here.row("SELECT last_error FROM sync_state WHERE account_name = 'bad'")
    assert state["last_error"] == "token.txt: no such file"


async def test_an_outcome_that_could_not_be_stored_is_stored_at_the_end(here: Site) -> None:
    account = here.add("production", 3)
    here.add("later", 3)

    async def refuse(_nth: int, _seen: SeenRequest) -> None:
        await here.execute("ALTER TABLE account_syncs ADD CONSTRAINT no CHECK (status <> 'failed')")
        await here.execute("ALTER TABLE account_syncs ADD CONSTRAINT nor CHECK (fetched = 0)")

    async def allow(_nth: int, _seen: SeenRequest) -> None:
        await here.execute("ALTER TABLE account_syncs DROP CONSTRAINT no, DROP CONSTRAINT nor")

    account.script, here.simulated["later"].script = refuse, allow
    result = await here.run(replace(SETTINGS, concurrent_accounts=1))
    assert [record.status for record in result.records] == ["failed", "complete"]
    stored = await here.rows("SELECT status, reason FROM account_syncs ORDER BY account_id")
    assert [row["status"] for row in stored] == ["failed", "complete"]
    assert stored[0]["reason"] == "storage"


async def test_an_outcome_that_was_stored_late_leaves_a_newer_state_alone(here: Site) -> None:
    account = here.add("production", 3)
    here.add("later", 3)

    async def refuse(nth: int, _seen: SeenRequest) -> None:
        if nth == 1:
            await here.execute("ALTER TABLE account_syncs ADD CONSTRAINT no CHECK (fetched = 0)")
            await here.execute(
                "ALTER TABLE account_syncs ADD CONSTRAINT nor CHECK (status <> 'failed')"
            )

    async def overtake(nth: int, _seen: SeenRequest) -> None:
        if nth == 1:
            await here.execute("ALTER TABLE account_syncs DROP CONSTRAINT no, DROP CONSTRAINT nor")
            production = [here.accounts["production"]]
            await here.runner().run(production, trigger="command", stop=Stop())

    account.script, here.simulated["later"].script = refuse, overtake
    result = await here.run(replace(SETTINGS, concurrent_accounts=1))
    record = of(result, "production")
    assert (record.status, record.reason, result.status) == ("skipped", "locked", "succeeded")
    state = await here.row("SELECT * FROM sync_state WHERE account_name = 'production'")
    assert (state["last_status"], state["consecutive_failures"]) == ("complete", 0)
    assert state["last_run_id"] != result.run_id


async def test_what_the_journal_has_counts_where_a_commit_went_unheard(here: Site) -> None:
    here.add("production", 3)
    first = await here.run()
    account, known = here.accounts["production"], of(first, "production")
    recorder = Recorder(
        run_id=first.run_id,
        began_at=datetime.now(UTC),
        tick=None,
        database=here.database,
        stale_after=timedelta(hours=1),
        stop=Stop(),
    )
    told = recorder.postpone(account, DatabaseUnreachable("gone"), known.started_at)
    assert (told.status, told.reason) == ("failed", "storage")
    async with here.database.transaction() as conn:
        assert await recorder.settle(conn, [told]) == [known]


async def test_an_older_walk_never_overwrites_a_newer_one(here: Site) -> None:
    account = here.add("production", 3)
    await here.run()
    stored = await here.rows("SELECT * FROM invoices ORDER BY id")
    account.invoices[0] = dict(account.invoices[0], description="older")

    async def overtake(_nth: int, _seen: SeenRequest) -> None:
        await here.execute("UPDATE sync_state SET last_started_at = clock_timestamp()")

    account.script = overtake
    record = of(await here.run(), "production")
    assert (record.status, record.reason) == ("skipped", Reason.LOCKED)
    assert await here.rows("SELECT * FROM invoices ORDER BY id") == stored


async def test_runs_of_dead_processes_are_abandoned_and_those_of_live_ones_are_not(
    here: Site,
) -> None:
    here.add("production", 3)
    dead, live = (UUID(int=number) for number in (1, 2))
    await here.execute(f"""
        INSERT INTO sync_runs (id, trigger, started_at, status, accounts_total, version, host)
        SELECT id, 'schedule', now(), 'running', 1, '1', 'x'
        FROM unnest(ARRAY['{dead}', '{live}']::uuid[]) AS id
    """)
    async with Locks(here.database) as rival:
        await rival.hold_run(live)
        with structlog.testing.capture_logs() as events:
            await here.run()
    statuses = await here.rows("SELECT id, status FROM sync_runs")
    assert {row["id"]: row["status"] for row in statuses if row["id"].int < 3} == {
        dead: "abandoned",
        live: "running",
    }
    assert [event["abandoned_run_id"] for event in events if event["event"] == "run.abandoned"] == [
        str(dead)
    ]


async def test_without_a_database_nothing_is_asked(here: Site) -> None:
    here.add("production", 3)
    nowhere = Database("postgresql://nobody@127.0.0.1:1/nothing")
    lost = Site(here.api, here.client, nowhere, here.accounts)
    with pytest.raises(DatabaseUnreachable, match=r"127\.0\.0\.1:1/nothing"):
        await lost.run()
    assert here.api.requests == []


async def test_a_run_of_no_accounts_succeeds(here: Site) -> None:
    result = await here.run()
    assert (result.status, result.records) == ("succeeded", ())


async def test_accounts_are_walked_as_many_at_a_time_as_configured(here: Site) -> None:
    seen_together: set[frozenset[str]] = set()
    under_way: set[str] = set()
    for name in "abcd":
        account = here.add(name, 3)

        def script(_nth: int, seen: SeenRequest) -> None:
            under_way.add(seen.account_id)
            seen_together.add(frozenset(under_way))
            under_way.discard(seen.account_id)

        account.script = script
    await here.run(replace(SETTINGS, concurrent_accounts=2))
    assert max(map(len, seen_together)) <= 2
    assert len(here.api.requests) == 4


async def test_no_secret_is_in_any_log_line_or_table(here: Site) -> None:
    account = here.add("production", 60)
    account.script = lambda nth, _seen: EdgeError(502) if nth == 2 else None
    links = [invoice["invoice_pdf"] for invoice in account.invoices if invoice["invoice_pdf"]]
    assert links
    with structlog.testing.capture_logs() as events:
        await here.run()
        account.invoices[3]["description"] = "edited"
        await here.run()
    dump = repr(events)
    for table in ("invoice_history", "sync_state", "sync_runs", "account_syncs"):
        dump += repr(await here.rows(f"SELECT * FROM {table}"))
    assert "token-of-production" not in dump
    assert not any(link in dump for link in links)
