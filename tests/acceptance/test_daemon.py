import asyncio
import re
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import aiohttp
import asyncpg
import pytest

from syncer.demo.account import SeenRequest
from syncer.demo.faults import Delay, Fault, Hang
from tests.acceptance.program import Program, free_port, program
from tests.servers import OwnServer, administer, migrated_cluster, own_server
from tests.sessions import session


async def test_it_syncs_at_its_start_and_stops_when_asked(fresh_syncer: Program) -> None:
    fresh_syncer.add("production", 60)
    async with fresh_syncer.running("run") as daemon:
        await daemon.event("run.finished", status="succeeded")
        code, _ = await daemon.stop(signal.SIGTERM)
        assert code == 0
        assert daemon.names == [
            "schema.migrated",
            "daemon.started",
            "run.started",
            "account.synced",
            "run.finished",
            "daemon.stopping",
            "daemon.stopped",
        ]
        for event in daemon.events:
            assert event.keys() >= {"timestamp", "level", "event"}
        assert daemon.events[2]["trigger"] == "start"
        assert daemon.events[3]["run_id"] == daemon.events[4]["run_id"]
        assert daemon.events[5]["signal"] == "SIGTERM"


@pytest.mark.slow
async def test_a_killed_run_is_abandoned_by_the_next(syncer: Program) -> None:
    account = syncer.add("production", 120)
    account.script = lambda nth, _seen: Hang(None) if nth > 1 else None
    async with syncer.running("run") as daemon:
        await syncer.api.wait_for_requests(2)
        code, _ = await daemon.stop(signal.SIGKILL)
        assert code == -signal.SIGKILL
    account.script = None
    finished = await syncer.run("sync")
    assert finished.code == 0, finished.stderr
    connection = await asyncpg.connect(syncer.dsn)
    runs = await connection.fetch("SELECT status FROM sync_runs ORDER BY started_at")
    walks = await connection.fetch("SELECT status FROM account_syncs ORDER BY finished_at")
    await connection.close()
    assert [run["status"] for run in runs] == ["abandoned", "succeeded"]
    assert [walk["status"] for walk in walks] == ["abandoned", "complete"]


@pytest.mark.slow
async def test_it_runs_on_schedule_one_run_at_a_time_and_none_in_silence(syncer: Program) -> None:
    account = syncer.add("production", 3)
    syncer.settings["schedule"] = {"every": "1s", "run_on_start": False}
    account.script = lambda nth, _seen: Delay(2.5) if nth == 1 else None
    async with syncer.running("run") as daemon:
        first = await daemon.event("run.finished")
        await daemon.event("run.finished")
        await daemon.event("run.finished")
        await daemon.stop(signal.SIGTERM)
    assert first["trigger"] == "schedule"
    started_or_finished = [name for name in daemon.names if name in ("run.started", "run.finished")]
    assert started_or_finished[:6] == ["run.started", "run.finished"] * 3
    assert "run.coalesced" in daemon.names
    assert syncer.api.max_in_flight == 1


@pytest.mark.slow
async def test_it_survives_a_database_that_is_away(syncer: Program) -> None:
    syncer.add("production", 3)
    syncer.settings["schedule"] = {"every": "1s", "run_on_start": False}
    name = syncer.dsn.partition("?")[0].rpartition("/")[2]
    admin = await asyncpg.connect(syncer.dsn.replace(name, "postgres"))
    try:
        async with syncer.running("run") as daemon:
            await daemon.event("run.finished", status="succeeded")
            await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
            )
            await daemon.event("run.postponed")
            await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            await daemon.event("run.finished", status="succeeded")
            code, _ = await daemon.stop(signal.SIGTERM)
            assert code == 0
    finally:
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await admin.close()


@pytest.mark.slow
async def test_health_is_answered_while_it_lives(syncer: Program) -> None:
    account = syncer.add("production", 3)
    syncer.add("idle", 0)
    port = free_port()
    syncer.settings["health"] = {"listen": f"127.0.0.1:{port}"}
    released = asyncio.Event()
    account.script = lambda _nth, _seen: Hang(released)
    assert (await syncer.run("health")).code == 1
    async with syncer.running("run") as daemon, aiohttp.ClientSession() as session:
        await syncer.api.wait_for_requests(2)
        await daemon.event("account.synced", account="idle")
        url = f"http://127.0.0.1:{port}"
        async with session.get(f"{url}/healthz") as response:
            assert (response.status, await response.json()) == (200, {"live": True})
        async with session.get(f"{url}/readyz") as response:
            assert response.status == 200
            assert await response.json() == {
                "ready": True,
                "error": None,
                "stale": ["production"],
                "details": {"production": "never_synced"},
            }
        async with session.get(f"{url}/") as response:
            assert response.status == 404
        assert (await syncer.run("health")).code == 0
        released.set()
        await daemon.event("run.finished")
        second = await syncer.run("run")
        assert second.code == 2
        assert "[health].listen" in second.stderr
        await daemon.stop(signal.SIGTERM)
    assert (await syncer.run("health")).code == 1


@pytest.mark.slow
async def test_two_daemons_walk_each_account_once_per_tick(syncer: Program) -> None:
    for name in "abcd":
        syncer.add(name, 3)
    syncer.settings["schedule"] = {"every": "3s", "run_on_start": False}

    def slowly(_nth: int, _seen: SeenRequest) -> Fault:
        return Delay(0.1)

    for account in syncer.accounts.values():
        account.script = slowly
    async with syncer.running("run") as one, syncer.running("run") as two:
        await one.event("daemon.started")
        await two.event("daemon.started")
        for daemon in (one, two):
            for _ in range(2):
                await daemon.event("run.finished", status="succeeded")
        await one.stop(signal.SIGTERM)
        await two.stop(signal.SIGTERM)
    events = one.events + two.events
    ticks = {event["run_id"]: event["tick"] for event in events if event["event"] == "run.started"}
    walked: Counter[str] = Counter()
    for event in events:
        if event["event"] == "account.synced":
            walked[ticks[event["run_id"]]] += 1
    served_by_both = [tick for tick, runs in Counter(ticks.values()).items() if runs == 2]
    assert served_by_both
    assert [walked[tick] for tick in served_by_both] == [4] * len(served_by_both)


@pytest.mark.slow
async def test_a_crontab_line_is_a_schedule_too(syncer: Program) -> None:
    syncer.add("production", 3)
    syncer.settings["schedule"] = {
        "cron": "30 4 * * 7",
        "timezone": "Europe/Berlin",
        "run_on_start": False,
    }
    async with syncer.running("run") as daemon:
        started = await daemon.event("daemon.started")
        assert (await daemon.stop(signal.SIGTERM))[0] == 0
    tick = datetime.fromisoformat(started["next_tick"]).astimezone(ZoneInfo("Europe/Berlin"))
    assert (tick.isoweekday(), tick.hour, tick.minute) == (7, 4, 30)


@pytest.mark.slow
async def test_it_ends_when_its_schema_is_taken_away(syncer: Program) -> None:
    syncer.add("production", 3)
    syncer.settings["schedule"] = {"every": "1s"}
    connection = await asyncpg.connect(syncer.dsn)
    async with syncer.running("run") as daemon:
        await daemon.event("run.finished")
        await connection.execute("ALTER TABLE sync_runs RENAME TO elsewhere")
        assert await daemon.process.wait() == 3
    await connection.close()


@pytest.mark.slow
async def test_a_token_is_rotated_without_a_restart(syncer: Program) -> None:
    account = syncer.add("production", 3)
    token = syncer.directory / "token"
    token.write_text("token-of-production\n")
    syncer.settings["schedule"] = {"every": "1s"}
    path = syncer.config
    path.write_text(
        path.read_text().replace('api_token = "token-of-production"', 'api_token_file = "token"')
    )
    async with syncer.running_bare("--config", str(path), "run") as daemon:
        await daemon.event("run.finished", status="succeeded")
        account.logins = {"rotated"}
        await daemon.event("account.failed", reason="access_denied", http_status=401)
        token.unlink()
        failed = await daemon.event("account.failed", http_status=None)
        assert (failed["reason"], failed["requests"]) == ("access_denied", 0)
        assert "token" in failed["error"]
        token.write_text("rotated")
        await daemon.event("account.recovered")
        assert (await daemon.stop(signal.SIGTERM))[0] == 0


async def test_it_is_live_but_not_ready_without_its_database(syncer: Program) -> None:
    syncer.add("production", 3)
    port = free_port()
    syncer.settings["health"] = {"listen": f"127.0.0.1:{port}"}
    connection = await asyncpg.connect(syncer.dsn)
    async with syncer.running("run") as daemon, aiohttp.ClientSession() as session:
        await daemon.event("run.finished")
        await connection.execute("UPDATE alembic_version SET version_num = '9999'")
        async with session.get(f"http://127.0.0.1:{port}/readyz") as response:
            assert response.status == 503
            assert "9999" in (await response.json())["error"]
        async with session.get(f"http://127.0.0.1:{port}/healthz") as response:
            assert response.status == 200
    await connection.close()


@pytest.fixture
def guarded() -> Iterator[OwnServer]:
    """A server that takes nobody but its superuser without a password."""
    with migrated_cluster() as cluster, own_server(cluster) as server:
        rules = server.home / "data/pg_hba.conf"
        rules.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
        administer(server.dsn, "SELECT pg_reload_conf()")
        administer(server.dsn, "CREATE ROLE worker LOGIN SUPERUSER PASSWORD 'first'")
        yield server


@pytest.mark.slow
async def test_the_databases_password_is_rotated_without_a_restart(
    guarded: OwnServer, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("first\n")
    async with program(tmp_path, guarded.dsn.replace("postgres@", "worker@")) as syncer:
        syncer.add("production", 3)
        syncer.settings["schedule"] = {"every": "1s"}
        syncer.settings["database"] = {"password_file": str(password)}
        async with syncer.running("run") as daemon, session(guarded.dsn) as admin:
            await daemon.event("run.finished", status="succeeded")
            await admin.execute("ALTER ROLE worker PASSWORD 'second'")
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'worker'"
            )
            await daemon.event("run.postponed")
            password.write_text("second\n")
            await daemon.event("run.finished", status="succeeded")
            assert (await daemon.stop(signal.SIGTERM))[0] == 0


@pytest.mark.slow
async def test_rows_of_an_account_outlive_its_configuration(syncer: Program) -> None:
    syncer.add("production", 3)
    former = syncer.add("former", 4)
    assert (await syncer.run("sync")).code == 0
    syncer.add("joined", 5)
    del syncer.accounts["former"]
    syncer.api.requests.clear()
    assert (await syncer.run("sync")).code == 0
    assert former.id not in {request.account_id for request in syncer.api.requests}
    shown = await syncer.run("status")
    assert re.search(r"^former \(not asked any more\) ", shown.stdout, re.MULTILINE)
    async with session(syncer.dsn) as connection:
        found = await connection.fetch(
            "SELECT account_name, count(*) AS invoices, count(missing_since) AS missing"
            " FROM invoices JOIN sync_state USING (account_id) GROUP BY 1 ORDER BY 1"
        )
    assert [tuple(row) for row in found] == [
        ("former", 4, 0),
        ("joined", 5, 0),
        ("production", 3, 0),
    ]


@pytest.mark.slow
async def test_it_deletes_old_runs_and_history_where_it_is_asked_to(syncer: Program) -> None:
    production = syncer.add("production", 3)
    assert (await syncer.run("sync")).code == 0
    production.invoices[0]["status"] = "void"
    assert (await syncer.run("sync")).code == 0
    connection = await asyncpg.connect(syncer.dsn)
    try:
        await connection.execute("UPDATE sync_runs SET started_at = now() - interval '91 days'")
        await connection.execute(
            "UPDATE invoice_history SET observed_at = now() - interval '731 days'"
        )
        syncer.settings["retention"] = {"sync_runs": "90d", "invoice_history": "730d"}
        async with syncer.running("run") as daemon:
            await daemon.event("retention.pruned", sync_runs=1, account_syncs=1, invoice_history=1)
            await daemon.stop(signal.SIGTERM)
        # The first one's answers are those that the digests are of.
        runs = await connection.fetch("SELECT trigger FROM sync_runs ORDER BY started_at")
        assert [run["trigger"] for run in runs] == ["command", "start"]
        assert await connection.fetchval("SELECT count(*) FROM invoices") == 3
    finally:
        await connection.close()
