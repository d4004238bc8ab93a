"""Unique secrets in every place, the program through every failure, and a search of all it left."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from urllib.parse import quote, urlsplit

import aiohttp
import asyncpg
import pytest

from syncer.demo.faults import Hang
from tests.acceptance.planting import ACCOUNTS, LINKS, Planted
from tests.acceptance.program import Finished, Program, free_port, needs_proc
from tests.conftest import SERVER_DIRECTORY
from tests.planted import leaked


@pytest.fixture
def planted(syncer: Program) -> Planted:
    made = Planted(syncer)
    for name, (form, answer) in ACCOUNTS.items():
        made.add(name, form, answer)
    return made


async def run(planted: Planted, config: Path, *arguments: str) -> Finished:
    finished = await planted.syncer.run_bare(
        "--config", str(config), *arguments, **planted.environment
    )
    planted.search(finished)
    return finished


def with_password(dsn: str, planted: Planted, *, where: str = "url") -> str:
    """Name the tests' database, with a password that it does not ask for, and where."""
    password = planted.new("password", "p%", '"\\:/@ä')
    url = urlsplit(dsn)
    if url.password is not None:
        pytest.skip("this server asks for the right password")
    if where == "file":
        return f'url = "{dsn}"\npassword_file = "{planted.file("password", password).name}"'
    host = url.netloc.rpartition("@")[2]
    login = f"{url.username or 'postgres'}:{quote(password, safe='')}"
    return f'url = "{url.scheme}://{login}@{host}{url.path}?{url.query}"'


@pytest.mark.slow
async def test_a_sync_that_fails_in_every_way_shows_and_stores_no_secret(planted: Planted) -> None:
    database = with_password(planted.syncer.dsn, planted)
    connection = await asyncpg.connect(planted.syncer.dsn)
    try:
        await connection.execute(
            f"ALTER DATABASE {connection_name(planted)} SET log_statement = 'all'"
        )
    finally:
        await connection.close()
    synced = await run(planted, planted.configure(database=database, format="json"), "sync")
    assert synced.code == 1
    failed = {
        event["account"]: event["reason"]
        for event in synced.events
        if event["event"] in ("account.failed", "account.incomplete")
    }
    assert failed == {
        **dict.fromkeys(("denied",), "access_denied"),
        **dict.fromkeys(("rejected", "refused"), "request_rejected"),
        "unknown": "not_found",
        "throttled": "rate_limited",
        **dict.fromkeys(("broken", "silent", "reset", "cut"), "unavailable"),
        **dict.fromkeys(("moved", "html", "misplaced"), "malformed_response"),
    }
    config = planted.configure(database=database, format="console", level="debug")
    checked = await run(planted, config, "check")
    assert checked.code == 1
    assert "access denied" in checked.stdout
    shown = await run(planted, config, "status", "--json")
    assert len(json.loads(shown.stdout)["accounts"]) == len(ACCOUNTS)
    found = await planted.search_database(planted.syncer.dsn)
    # So the search can find what is there.
    assert {("invoices", "invoice_pdf"), ("invoices", "extra")} <= found
    assert ("rejected_invoices", "payload") in found
    planted.search_files()
    search_server_log(planted)


def connection_name(planted: Planted) -> str:
    return urlsplit(planted.syncer.dsn).path.removeprefix("/")


def search_server_log(planted: Planted) -> None:
    """What the server logs of statements may hold invoices, and no credential."""
    if os.environ.get("SYNCER_TEST_DATABASE_URL"):
        # Another server's log is out of reach.
        return
    log = Path(os.environ[SERVER_DIRECTORY], "postgres.log")
    text = log.read_bytes()
    assert b'COPY "invoices"' in text
    links = {link.name for link in LINKS}
    assert leaked(text, [one for one in planted.secrets if one.name not in links]) == []


BROKEN_STORAGE = """
CREATE FUNCTION complain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE 'notice %', new.invoice_pdf;
    RAISE WARNING 'warning %', new.invoice_pdf;
    RAISE EXCEPTION 'exception %', new.invoice_pdf USING
        DETAIL = new.extra::text, HINT = new.invoice_pdf, ERRCODE = 'P0001';
END $$;
CREATE TRIGGER complain BEFORE INSERT ON invoices FOR EACH ROW EXECUTE FUNCTION complain();
"""
BROKEN = {
    "a trigger that raises": BROKEN_STORAGE,
    "a constraint that is violated": "ALTER TABLE invoices ADD CHECK (invoice_pdf IS NULL)",
    "a column of another type": "ALTER TABLE invoices ALTER invoice_pdf TYPE int USING NULL",
}


@pytest.mark.slow
@pytest.mark.parametrize("statement", BROKEN.values(), ids=BROKEN)
async def test_a_database_that_quotes_rows_shows_no_secret(syncer: Program, statement: str) -> None:
    planted = Planted(syncer)
    planted.add("normal", *ACCOUNTS["normal"])
    await execute(syncer.dsn, "DROP VIEW invoice_changes", statement)
    config = planted.configure(
        database=with_password(syncer.dsn, planted, where="file"), format="console", level="debug"
    )
    synced = await run(planted, config, "sync")
    assert synced.code == 1
    assert "storage" in synced.stderr
    assert await planted.search_database(syncer.dsn) == set()


async def execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


# The journal is asked where a first try to store failed in a way that may pass.
FOREIGN_WORD = """
    CREATE FUNCTION put_a_foreign_word() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN NEW.status := ''failed''; NEW.reason := ''unheard of''; RETURN NEW; END';
    CREATE TRIGGER foreign_word BEFORE INSERT ON account_syncs
        FOR EACH ROW EXECUTE FUNCTION put_a_foreign_word();
    CREATE FUNCTION stand_in_the_way() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN RAISE EXCEPTION USING ERRCODE = ''serialization_failure''; END';
    CREATE TRIGGER in_the_way BEFORE UPDATE ON account_syncs
        FOR EACH ROW EXECUTE FUNCTION stand_in_the_way();
"""


@pytest.mark.slow
async def test_a_daemon_that_crashes_and_is_stopped_shows_no_secret(syncer: Program) -> None:
    planted = Planted(syncer)
    planted.add("normal", *ACCOUNTS["normal"])
    planted.add("rejected", *ACCOUNTS["rejected"])
    dsn, port = syncer.dsn, free_port()
    hanging = asyncio.Event()
    planted.add("hanging", "api_token_env", lambda _login: Hang(hanging))
    config = planted.configure(
        database=with_password(dsn, planted),
        format="json",
        level="debug",
        listen=f"127.0.0.1:{port}",
    )
    assert (await run(planted, config, "sync", "--account", "normal")).code == 0
    # What no release would do: the journal brings a word that our own code does not know.
    await execute(dsn, FOREIGN_WORD)
    async with planted.syncer.running_bare(
        "--config", str(config), "run", **planted.environment
    ) as daemon:
        crashed = await daemon.event("run.crashed")
        assert "Traceback" in crashed["exception"]
        assert "ValueError: 'unheard of' is not a valid Reason" in crashed["exception"]
        async with aiohttp.ClientSession() as session:
            for path in ("healthz", "readyz"):
                async with session.get(f"http://127.0.0.1:{port}/{path}") as answer:
                    assert leaked(await answer.read(), planted.secrets) == []
        await daemon.event("run.started")
        code, _ = await daemon.stop(signal.SIGTERM)
        assert code == 0
        assert leaked(json.dumps(daemon.events), planted.secrets) == []
    await planted.search_database(dsn)
    planted.search_files()


@needs_proc
@pytest.mark.slow
async def test_no_process_beneath_gets_a_secret(syncer: Program, place: Path) -> None:
    planted = Planted(syncer)
    planted.add("normal", *ACCOUNTS["denied"])
    config = planted.configure(database=f'data_dir = "{place}/db"')
    async with syncer.running_bare("--config", str(config), "run", **planted.environment) as daemon:
        await daemon.event("run.finished")
        seen = 0
        for process in Path("/proc").glob("[0-9]*"):
            try:
                beneath = (process / "cwd").readlink().is_relative_to(place)
                mine = int(process.name) == daemon.process.pid
                if mine or beneath:
                    assert leaked((process / "cmdline").read_bytes(), planted.secrets) == []
                if beneath and not mine:
                    assert leaked((process / "environ").read_bytes(), planted.secrets) == []
                    seen += 1
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
        assert seen > 3
        await daemon.stop(signal.SIGTERM)
    planted.search_files(place)
