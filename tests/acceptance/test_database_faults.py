"""The program while its database misbehaves: what it says, how it ends, and how it goes on."""

from __future__ import annotations

import asyncio
import re
import signal
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from syncer.store.engine import Database
from syncer.store.migrate import downgrade
from tests.acceptance.program import PATIENCE_S, program
from tests.proxies.frames import PostgresFrames
from tests.proxies.proxy import Proxy, Traffic
from tests.proxies.servers import open_postgres, through
from tests.servers import HEAD, LEDGER, dsn_of
from tests.sessions import ALL, session, terminate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import asyncpg

    from tests.acceptance.program import Finished, Program
    from tests.servers import OwnServer

BEHIND = (
    f"the database schema is at revision 0001, and this version needs {HEAD}: run `syncer migrate`"
)
AHEAD = (
    f"the database schema is at revision 9999, which this version does not know (it needs {HEAD}):"
    " use the newer syncer that migrated it"
)


@pytest.fixture
async def admin(syncer: Program) -> AsyncIterator[asyncpg.Connection]:
    """Somebody who may do anything in the program's database."""
    async with session(syncer.dsn) as connection:
        yield connection


async def turn_read_only(admin: asyncpg.Connection, how: str) -> None:
    """Have all new transactions be read-only ("on"), or not any more ("off")."""
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {how}")
    await terminate(admin, ALL)


def the_line(finished: Finished) -> str:
    """What a command that failed has said at last, which is no log line."""
    line = finished.stderr.splitlines()[-1]
    assert line.startswith("syncer: ")
    assert "Traceback" not in finished.stderr
    return line


async def set_revision(dsn: str, revision: str) -> None:
    if revision == "9999":
        async with session(dsn) as connection:
            await connection.execute("UPDATE alembic_version SET version_num = '9999'")
        return
    database = Database(dsn)
    await downgrade(database, revision)
    await database.close()


async def test_a_sync_into_a_read_only_database_ends_before_anything_is_asked(
    syncer: Program, admin: asyncpg.Connection
) -> None:
    syncer.add("production", 3)
    await turn_read_only(admin, "on")
    finished = await syncer.run("sync")
    assert finished.code == 3
    assert "25006" in the_line(finished)
    assert "read-only transaction" in the_line(finished)
    assert syncer.api.requests == []
    checked = await syncer.run("check")
    assert checked.code == 3
    assert re.search(r"^error +database: .*name the primary", checked.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("trouble", "code", "told"),
    [
        ("ALTER TABLE invoices ADD CHECK (id = '')", 1, "23514"),
        pytest.param(
            "ALTER TABLE sync_runs RENAME TO elsewhere",
            3,
            "run `syncer migrate`",
            marks=pytest.mark.slow,
        ),
        ("ALTER TABLE account_syncs RENAME TO elsewhere", 3, "run `syncer migrate`"),
    ],
    ids=["one account's trouble", "no runs", "no accounts"],
)
async def test_a_trouble_in_the_middle_of_a_sync_decides_its_exit_code(
    syncer: Program, admin: asyncpg.Connection, trouble: str, code: int, told: str
) -> None:
    account = syncer.add("production", 3)

    async def befall(nth: int, _seen: object) -> None:
        if nth == 1:
            await admin.execute(trouble)

    account.script = befall
    finished = await syncer.run("sync")
    assert finished.code == code, finished.stderr
    assert told in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.slow
async def test_a_daemon_outlasts_a_database_that_is_read_only_for_a_while(
    syncer: Program, admin: asyncpg.Connection
) -> None:
    account = syncer.add("production", 3)
    syncer.settings["schedule"] = {"every": "1s", "run_on_start": False}

    async def once(nth: int, _seen: object) -> None:
        if nth == 2:
            await turn_read_only(admin, "on")

    account.script = once
    async with syncer.running("run") as daemon:
        await daemon.event("run.finished", status="succeeded")
        failed = await daemon.event("account.failed", reason="storage")
        assert "25006" in failed["error"]
        postponed = await daemon.event("run.postponed")
        assert "25006" in postponed["error"]
        await turn_read_only(admin, "off")
        await daemon.event("run.abandoned")
        await daemon.event("account.synced", unchanged=3)
        await daemon.event("run.finished", status="succeeded")
        assert (await daemon.stop(signal.SIGTERM))[0] == 0


async def test_a_daemon_outlasts_a_server_that_restarts_in_the_middle_of_a_run(
    tmp_path: Path, server: OwnServer
) -> None:
    async with program(tmp_path, server.dsn) as syncer:
        account = syncer.add("production", 60)

        async def restart(nth: int, _seen: object) -> None:
            if nth == 1:
                await server.restart()

        account.script = restart
        async with syncer.running("run") as daemon:
            synced = await daemon.event("account.synced")
            assert (synced["inserted"], synced["requests"]) == (60, 2)
            await daemon.event("run.finished", status="succeeded")
            assert (await daemon.stop(signal.SIGTERM))[0] == 0
        assert {"account.failed", "run.postponed"}.isdisjoint(daemon.names)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("revision", "sentence"), [("0001", BEHIND), ("9999", AHEAD)], ids=["behind", "ahead"]
)
async def test_a_daemon_ends_after_a_failover_to_another_revision(
    syncer: Program, server: OwnServer, revision: str, sentence: str
) -> None:
    syncer.add("production", 3)
    syncer.settings["schedule"] = {"every": "1s", "run_on_start": False}
    await set_revision(server.dsn, revision)
    # A proxy does not change what the program asks for.
    name = urlsplit(syncer.dsn).path.removeprefix("/")
    async with session(dsn_of(server.dsn, "postgres")) as owner:
        await owner.execute(f"ALTER DATABASE {LEDGER} RENAME TO {name}")
    elsewhere = dsn_of(server.dsn, name)
    active = syncer.dsn
    async with (
        session(syncer.dsn) as admin,
        Proxy("database", Traffic(), PostgresFrames, lambda: open_postgres(active)) as proxy,
    ):
        syncer.dsn = through(syncer.dsn, proxy.port)
        async with syncer.running("run") as daemon, asyncio.timeout(PATIENCE_S):
            await daemon.event("run.finished", status="succeeded")
            asked = len(syncer.api.requests)
            active = elsewhere
            await terminate(admin, ALL)
            assert daemon.process.stderr is not None
            rest = (await daemon.process.stderr.read()).decode()
            assert await daemon.process.wait() == 3
    assert rest.splitlines()[-1] == f"syncer: {sentence}"
    assert "Traceback" not in rest
    assert len(syncer.api.requests) == asked
    async with session(elsewhere) as other:
        assert await other.fetchval("SELECT count(*) FROM sync_runs") == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("revision", "sentence"), [("0001", BEHIND), ("9999", AHEAD)], ids=["behind", "ahead"]
)
async def test_nothing_starts_on_another_revision(
    syncer: Program, revision: str, sentence: str
) -> None:
    syncer.add("production", 3)
    syncer.settings["database"] = {"auto_migrate": revision == "9999"}
    await set_revision(syncer.dsn, revision)
    for command in ("run", "sync"):
        finished = await syncer.run(command)
        assert (finished.code, the_line(finished)) == (3, f"syncer: {sentence}")
    assert syncer.api.requests == []
