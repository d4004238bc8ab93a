import asyncio
import json
import os
import pty
import re
import sys

import asyncpg
import pytest

from tests.acceptance.program import NOWHERE, Program
from tests.documents import read


async def test_sync_makes_one_pass_and_prints_what_it_did(fresh_syncer: Program) -> None:
    fresh_syncer.add("production", 120)
    fresh_syncer.add("staging", 3)
    finished = await fresh_syncer.run("sync")
    assert finished.code == 0
    title, header, *rows = finished.stdout.splitlines()
    assert title == "Accounts"
    assert header.split()[:7] == [
        "account",
        "status",
        "pages",
        "requests",
        "fetched",
        "new",
        "changed",
    ]
    assert [row.split()[:6] for row in rows] == [
        ["production", "complete", "3", "3", "120", "120"],
        ["staging", "complete", "1", "1", "3", "3"],
    ]
    assert [event["event"] for event in finished.events] == [
        "schema.migrated",
        "run.started",
        "account.synced",
        "account.synced",
        "run.finished",
    ]
    # No progress bar in a pipe.
    assert "\x1b" not in finished.stdout + finished.stderr


async def test_sync_takes_the_accounts_that_are_named(syncer: Program) -> None:
    for name in ("production", "staging", "research"):
        syncer.add(name, 3)
    staging = syncer.accounts["staging"].id
    finished = await syncer.run("sync", "--account", "production", "--account", staging)
    assert finished.code == 0
    assert {seen.account_id for seen in syncer.api.requests} == {
        syncer.accounts["production"].id,
        staging,
    }
    unknown = await syncer.run("sync", "--account", "prod", "--account", "x")
    assert unknown.code == 2
    configured = "no such account is known; there are: production, staging, research"
    assert unknown.stderr.splitlines() == [
        f"syncer: --account prod: {configured}",
        f"syncer: --account x: {configured}",
    ]


async def test_sync_fails_when_an_account_does_and_stores_the_others(syncer: Program) -> None:
    syncer.add("production", 3)
    denied = syncer.add("denied", 3)
    denied.logins = set()
    finished = await syncer.run("sync")
    assert finished.code == 1
    assert "AI Gateway Read" in finished.stdout
    assert "Traceback" not in finished.stderr
    connection = await asyncpg.connect(syncer.dsn)
    assert await connection.fetchval("SELECT count(*) FROM invoices") == 3
    await connection.close()


@pytest.mark.parametrize("command", ["run", "sync", "migrate", "status"])
async def test_without_a_database_the_exit_code_is_3(syncer: Program, command: str) -> None:
    syncer.add("production", 3)
    syncer.settings["database"] = {"url": NOWHERE}
    finished = await syncer.run(command)
    assert finished.code == 3
    (line,) = finished.stderr.splitlines()
    assert "127.0.0.1:1/nothing" in line
    assert "planted-password" not in line
    assert syncer.api.requests == []


@pytest.mark.parametrize("command", ["run", "sync", "status"])
async def test_a_schema_that_is_behind_is_refused_unless_it_may_be_migrated(
    fresh_syncer: Program, command: str
) -> None:
    fresh_syncer.add("production", 3)
    fresh_syncer.settings["database"] = {"auto_migrate": False}
    finished = await fresh_syncer.run(command)
    assert finished.code == 3
    (line,) = finished.stderr.splitlines()
    assert "syncer migrate" in line
    assert fresh_syncer.api.requests == []


@pytest.mark.slow
async def test_migrate_says_where_the_schema_was_and_is(fresh_syncer: Program) -> None:
    fresh_syncer.add("production", 3)
    behind = await fresh_syncer.run("migrate", "--check")
    assert (behind.code, behind.stdout) == (3, "")
    assert "syncer migrate" in behind.stderr
    first = await fresh_syncer.run("migrate")
    assert first.code == 0
    assert re.fullmatch(
        r"schema public: migrated from nothing, now at revision \w+\n", first.stdout
    )
    second = await fresh_syncer.run("migrate")
    assert re.fullmatch(r"schema public: already at revision \w+\n", second.stdout)
    there = await fresh_syncer.run("migrate", "--check")
    assert (there.code, there.stderr) == (0, "")


async def test_migrate_needs_a_database_and_no_account(fresh_syncer: Program) -> None:
    alone = await fresh_syncer.run_bare("migrate", SYNCER_DATABASE__URL=fresh_syncer.dsn)
    assert (alone.code, alone.stdout.split(":")[0]) == (0, "schema public")
    # An embedded database is not made for somebody who only forgot to name the configuration.
    nothing = await fresh_syncer.run_bare("migrate")
    assert nothing.code == 2
    assert "accounts: none is configured" in nothing.stderr


@pytest.mark.slow
async def test_a_schema_of_its_own_is_made_and_used(fresh_syncer: Program) -> None:
    fresh_syncer.add("production", 3)
    fresh_syncer.settings["database"] = {"schema": 'Cloud "Bills"'}
    assert (await fresh_syncer.run("sync")).code == 0
    connection = await asyncpg.connect(fresh_syncer.dsn)
    count = await connection.fetchval('SELECT count(*) FROM "Cloud ""Bills""".invoices')
    await connection.close()
    assert count == 3


@pytest.mark.slow
async def test_status_shows_each_account_also_those_that_never_synced(syncer: Program) -> None:
    syncer.add("production", 3)
    assert (await syncer.run("sync")).code == 0
    syncer.add("staging", 3)
    table = await syncer.run("status")
    assert table.code == 0
    assert re.search(r"^production +complete .*fresh +3 +0$", table.stdout, re.MULTILINE)
    assert re.search(r"^staging +never +never +stale$", table.stdout, re.MULTILINE)
    answer = await syncer.run("status", "--json")
    assert answer.code == 0
    production, staging = json.loads(answer.stdout)["accounts"]
    assert (production["account_name"], production["last_status"]) == ("production", "complete")
    assert (production["invoices"], production["stale"], production["stale_after"]) == (
        3,
        False,
        3600,
    )
    assert 0 <= production["age"] < 3600
    assert (staging["account_name"], staging["last_status"], staging["stale"]) == (
        "staging",
        None,
        True,
    )
    assert staging.keys() == production.keys()


async def test_status_shows_what_each_account_is_complete_as_of(syncer: Program) -> None:
    syncer.add("known", 3)
    syncer.add("older", 3)
    denied = syncer.add("without", 3)
    denied.logins = set()
    assert (await syncer.run("sync")).code == 1
    connection = await asyncpg.connect(syncer.dsn)
    await connection.execute(
        """UPDATE sync_state SET complete_as_of =
        CASE account_name WHEN 'known' THEN timestamptz '2026-01-01 11:15+01' END
        """
    )
    await connection.close()
    shown = await syncer.run("status")
    assert shown.code == 0
    title, *lines = shown.stdout.splitlines()
    assert title == "Accounts"
    header, *rows = (re.split(" {2,}", line) for line in lines)
    assert rows[0][:3] == ["known", "complete", "2026-01-01 10:15:00 UTC"]
    assert rows[1][:3] == ["older", "complete", "unknown"]
    assert rows[2][:3] == ["without", "failed", "never"]
    assert " ".join(header).strip() in re.sub(" +", " ", read("README.md"))


async def test_a_terminal_gets_a_progress_bar_and_tables(syncer: Program) -> None:
    syncer.add("production", 60)
    ours, theirs = pty.openpty()
    shown = bytearray()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "syncer",
        "--config",
        str(syncer.config),
        "sync",
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "200"},
    )
    os.close(theirs)
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def read() -> None:
        try:
            shown.extend(os.read(ours, 65536))
        except OSError:
            loop.remove_reader(ours)
            ended.set_result(None)

    loop.add_reader(ours, read)
    async with asyncio.timeout(30):
        assert await process.wait() == 0
        await ended
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "accounts done" in text
    assert "production" in text
    assert "┃" in text
