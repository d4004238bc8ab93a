"""PgBouncer between the program and PostgreSQL, in each of its modes."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from syncer.demo.faults import Hang
from tests.pgbouncer import ENOUGH, needs_pgbouncer, pgbouncer
from tests.sessions import ADVISORY_LOCKS, session, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.program import Program

# The quick run has the integration tests of the same, in one process.
pytestmark = [needs_pgbouncer, pytest.mark.slow]

TROUBLES = {"account.failed", "account.incomplete", "run.postponed"}

MODES = pytest.mark.parametrize("pool_mode", ["transaction", "session"])


@contextmanager
def pooled(syncer: Program, pool_mode: str, pool_size: int = 4) -> Iterator[str]:
    """Have the program go through PgBouncer; give the way around it."""
    direct = syncer.dsn
    with pgbouncer(direct, pool_mode=pool_mode, pool_size=pool_size) as syncer.dsn:
        yield direct


async def stored(dsn: str) -> list[int]:
    """How many invoices each account has."""
    async with session(dsn) as observer:
        rows = await observer.fetch("SELECT count(*) FROM invoices GROUP BY account_id ORDER BY 1")
    return [row["count"] for row in rows]


@MODES
async def test_every_command_works_through_it(fresh_syncer: Program, pool_mode: str) -> None:
    fresh_syncer.add("production", 60)
    fresh_syncer.add("staging", 3)
    with pooled(fresh_syncer, pool_mode) as direct:
        migrated = await fresh_syncer.run("migrate")
        assert (migrated.code, migrated.stderr.count("schema.migrated")) == (0, 1)
        checked = await fresh_syncer.run("check")
        assert (checked.code, checked.stdout.count("ok ")) == (0, 5), checked.stdout
        for _ in range(2):
            synced = await fresh_syncer.run("sync")
            assert synced.code == 0, synced.stderr
        status = await fresh_syncer.run("status", "--json")
        accounts = json.loads(status.stdout)["accounts"]
        assert [account["last_status"] for account in accounts] == ["complete"] * 2
        async with session(direct) as observer:
            # The sessions of the server outlive the program, and must not hold its locks.
            await until(observer, ADVISORY_LOCKS, 0)
            assert await observer.fetchval("SELECT count(*) FROM invoice_history") == 0
    assert await stored(direct) == [3, 60]


@ENOUGH
async def test_the_daemon_works_through_it(syncer: Program, pool_mode: str, pool_size: int) -> None:
    for name in "abcdef":
        syncer.add(name, 60)
    syncer.settings["schedule"] = {"every": "1s", "run_on_start": False}
    with pooled(syncer, pool_mode, pool_size) as direct:
        async with syncer.running("run") as daemon, session(direct) as observer:
            for _ in range(2):
                await daemon.event("run.finished", status="succeeded")
            assert (await daemon.stop(signal.SIGTERM))[0] == 0
            await until(observer, ADVISORY_LOCKS, 0)
    assert await stored(direct) == [60] * 6
    troubles = [event for event in daemon.events if event["event"] in TROUBLES]
    # A third run may have begun, which the end of the daemon cut short.
    assert [event for event in troubles if event.get("reason") != "interrupted"] == []


@MODES
async def test_a_killed_process_frees_its_accounts_at_once(syncer: Program, pool_mode: str) -> None:
    account = syncer.add("production", 3)
    account.script = lambda _nth, _seen: Hang()
    with pooled(syncer, pool_mode) as direct:
        async with syncer.running("sync") as killed, session(direct) as observer:
            await syncer.api.wait_for_requests(1)
            assert await observer.fetchval(ADVISORY_LOCKS) == 2
            rival = await syncer.run("sync")
            (skipped,) = [event for event in rival.events if event["event"] == "account.skipped"]
            assert (rival.code, skipped["reason"]) == (0, "locked")
            await killed.stop(signal.SIGKILL)
            await until(observer, ADVISORY_LOCKS, 0)
        account.script = None
        synced = await syncer.run("sync")
        assert synced.code == 0, synced.stderr
    assert await stored(direct) == [3]


async def test_statement_mode_is_refused_with_what_to_set(syncer: Program) -> None:
    syncer.add("production", 3)
    with pooled(syncer, "statement"):
        for command in ("migrate", "sync", "run"):
            refused = await syncer.run(command)
            assert refused.code == 3, command
            told = refused.stderr
            assert "pool_mode = transaction" in told, told
            assert "Traceback" not in told
    assert syncer.api.requests == []
