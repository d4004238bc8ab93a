import json
from decimal import Decimal

import structlog

from syncer.cloudflare.walk import WalkSettings
from syncer.demo.account import SeenRequest
from syncer.demo.answers import Settings
from syncer.demo.faults import Answer, EdgeError, Hang, JsonObject, Rewrite
from syncer.demo.invoices import make_invoice, settled
from syncer.errors import Reason
from tests.integration.running import Site, of, with_account

COUNTS = "pages, requests, retries, fetched, inserted, updated, unchanged, missing, rejected"


async def test_a_first_run_stores_every_invoice_of_every_account(here: Site) -> None:
    for name, invoices in {"big": 130, "small": 3, "empty": 0}.items():
        here.add(name, invoices)
    result = await here.run()
    assert (result.status, result.well) == ("succeeded", True)
    stored = await here.rows("SELECT account_id, id, amount_due FROM invoices")
    assert {(row["account_id"], row["id"], row["amount_due"]) for row in stored} == {
        (account.id, invoice["id"], Decimal(invoice["amount_due"]))
        for account in here.simulated.values()
        for invoice in account.invoices
    }
    assert await here.rows("SELECT * FROM invoice_history") == []
    run = await here.row("SELECT * FROM sync_runs")
    assert (run["id"], run["trigger"], run["status"]) == (result.run_id, "command", "succeeded")
    assert (run["accounts_total"], run["accounts_complete"]) == (3, 3)
    assert (run["version"], run["host"]) == ("1.2.3", "testhost")
    assert run["started_at"] < run["finished_at"]
    state = await here.row("SELECT * FROM sync_state WHERE account_name = 'big'")
    assert (state["last_status"], state["pages"], state["invoices_fetched"]) == ("complete", 3, 130)
    assert (state["total_reported"], state["last_run_id"]) == (130, result.run_id)
    assert state["last_started_at"] < state["last_finished_at"] == state["last_complete_at"]
    counts = await here.row(
        f"SELECT {COUNTS} FROM account_syncs WHERE account_id = :id",
        id=here.accounts["big"].id,
    )
    assert list(counts.values()) == [3, 3, 0, 130, 130, 0, 0, 0, 0]


async def test_a_second_run_writes_what_changed_and_only_that(here: Site) -> None:
    account = here.add("production", 120)
    await here.run()
    position = max(i for i, old in enumerate(account.invoices) if old["status"] == "open")
    account.invoices[position] = settled(account.invoices[position])
    account.invoices.insert(0, make_invoice("production", -1))
    result = await here.run()
    record = of(result, "production")
    assert (record.inserted, record.updated, record.unchanged, record.missing) == (1, 1, 119, 0)
    (change,) = await here.rows("SELECT * FROM invoice_history")
    assert (change["change"], change["run_id"]) == ("changed", result.run_id)
    assert change["invoice_id"] == account.invoices[position + 1]["id"]
    assert (change["before"]["status"], change["after"]["status"]) == ("open", "paid")


async def test_canonical_lines_carry_every_count(here: Site) -> None:
    here.add("production", 60)
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as events:
        result = await here.run()
    durations = [event.pop("duration_ms") for event in events if "duration_ms" in event]
    assert all(isinstance(duration, int) for duration in durations)
    run = {"run_id": str(result.run_id), "log_level": "info"}
    counts = {
        "pages": 2,
        "requests": 2,
        "retries": 0,
        "fetched": 60,
        "inserted": 60,
        "updated": 0,
        "unchanged": 0,
        "missing": 0,
        "rejected": 0,
        "total_reported": 60,
    }
    account = {"account_id": here.accounts["production"].id, "account": "production"}
    assert events == [
        run | {"event": "run.started", "trigger": "command", "tick": None, "accounts_total": 1},
        run | account | counts | {"event": "account.synced", "status": "complete"},
        run
        | counts
        | {
            "event": "run.finished",
            "trigger": "command",
            "status": "succeeded",
            "accounts_total": 1,
            "accounts_complete": 1,
            "version": "1.2.3",
            "host": "testhost",
        },
    ]


async def test_one_account_without_permission_touches_no_other(here: Site) -> None:
    here.add("good", 60)
    denied = here.add("denied", 5)
    denied.logins, denied.powerless = set(), denied.logins
    with structlog.testing.capture_logs() as events:
        result = await here.run()
    assert (result.status, result.well) == ("partial", False)
    assert of(result, "good").status == "complete"
    record = of(result, "denied")
    assert (record.status, record.reason, record.http_status) == ("failed", "access_denied", 403)
    assert (record.requests, record.retries) == (1, 0)
    (event,) = (event for event in events if event["event"] == "account.failed")
    assert (event["log_level"], event["reason"]) == ("error", "access_denied")
    assert "AI Gateway Read" in event["error"]
    assert event["cf_ray"] == record.cf_ray is not None
    state = await here.row("SELECT * FROM sync_state WHERE account_name = 'denied'")
    assert (state["last_status"], state["last_error_kind"]) == ("failed", "access_denied")
    assert (state["consecutive_failures"], state["last_complete_at"]) == (1, None)


async def test_failures_are_counted_until_the_account_recovers(here: Site) -> None:
    account = here.add("production", 3)
    account.script = lambda nth, _seen: EdgeError(502) if nth <= 4 else None
    await here.run()
    await here.run()
    state = await here.row("SELECT consecutive_failures, last_error_kind FROM sync_state")
    assert state == {"consecutive_failures": 2, "last_error_kind": "unavailable"}
    with structlog.testing.capture_logs() as events:
        await here.run()
    recovered = [event for event in events if event["event"] == "account.recovered"]
    assert recovered == [{"event": "account.recovered", "log_level": "info", "failures": 2}]
    state = await here.row(
        "SELECT consecutive_failures, last_error_kind, last_error FROM sync_state"
    )
    assert state == {"consecutive_failures": 0, "last_error_kind": None, "last_error": None}


async def test_an_account_that_hangs_ends_at_its_deadline_with_what_it_got(here: Site) -> None:
    here.add("good", 60)
    hanging = here.add("hanging", 120)
    hanging.script = lambda nth, _seen: Hang(None) if nth > 1 else None
    result = await here.run(with_account(account_timeout_s=3.0))
    assert of(result, "good").status == "complete"
    record = of(result, "hanging")
    assert (record.status, record.reason, record.fetched) == ("incomplete", Reason.TIMEOUT, 50)
    assert (
        len(
            await here.rows("SELECT 1 AS found FROM invoices WHERE account_id = :id", id=hanging.id)
        )
        == 50
    )


async def test_nonsense_is_not_an_empty_history(here: Site) -> None:
    account = here.add("production", 30)
    await here.run()
    account.script = lambda _nth, _seen: Answer(200, b'{"success":true,"result":{}}')
    result = await here.run()
    assert of(result, "production").reason == "malformed_response"
    assert await here.rows("SELECT 1 AS found FROM invoices WHERE missing_since IS NOT NULL") == []


async def test_what_is_gone_is_marked_and_what_comes_back_is_welcomed(here: Site) -> None:
    account = here.add("production", 30)
    await here.run()
    draft = account.invoices.pop(4)
    assert of(await here.run(), "production").missing == 1
    gone = await here.row("SELECT id, missing_since FROM invoices WHERE missing_since IS NOT NULL")
    assert gone["id"] == draft["id"]
    account.invoices.insert(4, draft)
    record = of(await here.run(), "production")
    assert (record.missing, record.updated) == (0, 1)
    changes = await here.rows("SELECT change FROM invoice_history ORDER BY id")
    assert [row["change"] for row in changes] == ["missing", "reappeared"]


async def test_a_deletion_and_an_arrival_far_down_hide_an_invoice_until_the_next_sync(
    here: Site,
) -> None:
    account = here.add("production", 25)
    one_by_one = with_account(walk=WalkSettings(per_page=10, concurrency=1))
    await here.run(one_by_one)
    deleted, hidden = account.invoices[3]["id"], account.invoices[10]["id"]

    def shift(nth: int, _seen: SeenRequest) -> None:
        # The second request of the second sync.
        if nth == 5:
            del account.invoices[3]
            account.invoices.insert(20, make_invoice("production", -1))

    account.script = shift
    record = of(await here.run(one_by_one), "production")
    # Neither the total nor an invoice that comes twice tells of it.
    assert (record.status, record.pages, record.total_reported) == ("complete", 3, 25)
    assert (record.inserted, record.unchanged, record.missing) == (1, 24, 1)
    missing = "SELECT id FROM invoices WHERE missing_since IS NOT NULL"
    assert await here.rows(missing) == [{"id": hidden}]
    assert hidden in {invoice["id"] for invoice in account.invoices}

    account.script = None
    record = of(await here.run(one_by_one), "production")
    assert (record.status, record.updated, record.missing) == ("complete", 1, 1)
    assert await here.rows(missing) == [{"id": deleted}]
    changes = await here.rows("SELECT invoice_id, change FROM invoice_history")
    assert {(row["invoice_id"], row["change"]) for row in changes} == {
        (hidden, "missing"),
        (hidden, "reappeared"),
        (deleted, "missing"),
    }


async def test_a_mass_disappearance_is_not_believed(here: Site) -> None:
    account = here.add("production", 30)
    await here.run()
    del account.invoices[14:]
    record = of(await here.run(), "production")
    assert (record.status, record.reason) == ("incomplete", "mass_disappearance")
    assert (record.missing, record.fetched) == (0, 14)
    assert await here.rows("SELECT 1 AS found FROM invoices WHERE missing_since IS NOT NULL") == []


async def test_a_narrowed_sync_marks_nothing_missing(here: Site) -> None:
    here.add("production", 60)
    await here.run()
    record = of(await here.run(with_account(walk=WalkSettings(invoice_type="auto"))), "production")
    assert (record.status, record.missing) == ("complete", 0)
    assert 0 < record.unchanged < 60


async def test_an_incomplete_walk_marks_nothing_missing(here: Site) -> None:
    account = here.add("production", 60)
    await here.run()
    del account.invoices[:2]
    here.api.settings = Settings(total_count=99)
    record = of(await here.run(), "production")
    assert (record.reason, record.missing) == ("fewer_than_reported", 0)


async def test_a_rejected_record_is_kept_once_and_told(here: Site) -> None:
    account = here.add("production", 3)

    def break_one(payload: JsonObject) -> JsonObject:
        del payload["result"]["invoices"][1]["id"]
        return payload

    account.script = lambda _nth, _seen: Rewrite(break_one)
    first = await here.run()
    with structlog.testing.capture_logs() as events:
        second = await here.run()
    for result in (first, second):
        record = of(result, "production")
        assert (record.status, record.rejected, record.fetched) == ("complete", 1, 3)
    told = [event for event in events if event["event"] == "invoice.rejected"]
    assert [(event["reason"], event["count"]) for event in told] == [("id is missing", 1)]
    kept = await here.row("SELECT * FROM rejected_invoices")
    assert (kept["run_id"], kept["reason"]) == (first.run_id, "id is missing")
    assert json.loads(kept["payload"])["currency"] == "usd"


async def test_an_invoice_that_comes_as_nonsense_is_not_missing(here: Site) -> None:
    account = here.add("production", 30)
    await here.run()
    account.invoices[4]["description"] = "a\x00b"
    record = of(await here.run(), "production")
    assert (record.status, record.rejected, record.missing) == ("complete", 1, 0)
    assert await here.rows("SELECT 1 AS found FROM invoices WHERE missing_since IS NOT NULL") == []


async def test_an_invoice_that_comes_twice_does_not_stand_in_for_one_that_is_left_out(
    here: Site,
) -> None:
    account = here.add("production", 3)
    await here.run()
    account.invoices[2] = account.invoices[0] | {"amount_due": "12"}
    # What was rewritten is not held against the schema, which this violates.
    account.script = lambda _nth, _seen: Rewrite(lambda payload: payload)
    record = of(await here.run(), "production")
    assert (record.status, record.reason) == ("incomplete", "fewer_than_reported")
    assert (record.fetched, record.total_reported, record.rejected) == (2, 3, 1)
    assert await here.rows("SELECT 1 AS found FROM invoices WHERE missing_since IS NOT NULL") == []
