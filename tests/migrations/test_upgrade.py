"""Upgrades and downgrades: every way there and back, by several processes, and what goes wrong."""

from __future__ import annotations

import asyncio
import logging
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import text

from syncer.errors import DatabaseError, DatabaseUnreachable, SchemaMismatch
from syncer.store.engine import Database
from syncer.store.migrate import (
    Position,
    SchemaState,
    downgrade,
    migration_config,
    migration_connection,
    require_head,
    schema_state,
    upgrade,
)
from syncer.store.tables import VIEWS, metadata
from tests.integration.stored import change, fetch, opened
from tests.servers import administer, dsn_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
HEAD = "0006"
EMPTY = SchemaState(None, HEAD, Position.EMPTY)
BEHIND = SchemaState("0001", HEAD, Position.BEHIND)
AT_HEAD = SchemaState(HEAD, HEAD, Position.AT_HEAD)
RELATIONS = {*metadata.tables, *VIEWS, "alembic_version"}


@pytest.fixture
async def empty(empty_dsn: str) -> AsyncIterator[Database]:
    database = Database(empty_dsn)
    yield database
    await database.close()


async def relations(database: Database) -> set[str]:
    found = await fetch(
        database,
        "SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
        " WHERE nspname = :schema AND relkind IN ('r', 'v')",
        schema=database.schema,
    )
    return {row["relname"] for row in found}


async def python(*arguments: str, cwd: Path = ROOT) -> tuple[int | None, str]:
    """Run Python in a process of its own, and wait for its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_an_empty_database_is_brought_to_head(empty: Database) -> None:
    assert await schema_state(empty) == EMPTY
    assert await upgrade(empty) == (EMPTY, AT_HEAD)
    assert await schema_state(empty) == AT_HEAD
    assert await relations(empty) == RELATIONS
    await require_head(empty)


async def test_an_upgrade_at_head_does_nothing(database: Database) -> None:
    assert await upgrade(database) == (AT_HEAD, AT_HEAD)


async def test_up_and_down_and_up_again(empty: Database) -> None:
    assert await upgrade(empty, "0001") == (EMPTY, BEHIND)
    assert await relations(empty) == RELATIONS - {*VIEWS, "account_digests", "history_horizon"}
    assert await upgrade(empty) == (BEHIND, AT_HEAD)
    assert await downgrade(empty, "0001") == (AT_HEAD, BEHIND)
    assert await downgrade(empty, "base") == (BEHIND, EMPTY)
    assert await relations(empty) == {"alembic_version"}
    assert await upgrade(empty) == (EMPTY, AT_HEAD)
    assert await relations(empty) == RELATIONS


async def test_accounts_keep_what_they_were_complete_as_of(empty: Database) -> None:
    await upgrade(empty, "0002")
    await change(
        empty, "INSERT INTO sync_state (account_id, account_name) VALUES ('a', ''), ('b', '')"
    )
    await change(
        empty,
        """
        WITH run AS (
            INSERT INTO sync_runs (id, trigger, started_at, status, version, host)
            VALUES (gen_random_uuid(), 'command', now(), 'partial', '', ''),
                (gen_random_uuid(), 'command', now(), 'partial', '', '')
            RETURNING id
        )
        INSERT INTO account_syncs (run_id, account_id, started_at, status)
        SELECT min(id::text)::uuid, 'a', timestamptz '2026-01-01 10:15+00', 'complete' FROM run
        UNION ALL
        SELECT max(id::text)::uuid, 'a', timestamptz '2026-01-01 10:30+00', 'failed' FROM run
        """,
    )
    await upgrade(empty)
    assert await fetch(
        empty, "SELECT account_id, complete_as_of FROM sync_freshness ORDER BY 1"
    ) == [
        {"account_id": "a", "complete_as_of": datetime(2026, 1, 1, 10, 15, tzinfo=UTC)},
        {"account_id": "b", "complete_as_of": None},
    ]


async def test_readers_of_freshness_are_waited_for_in_their_own_order(empty: Database) -> None:
    # They lock the view, then its table: whoever has the table and asks for the view is stuck.
    await upgrade(empty, "0002")
    held = """
        SELECT 1 FROM pg_locks WHERE relation = 'sync_freshness'::regclass
        AND mode = 'AccessExclusiveLock' AND granted
    """
    async with asyncio.TaskGroup() as group, empty.transaction() as reader:
        await reader.execute(text("SELECT 1 FROM sync_state"))
        migrating = group.create_task(upgrade(empty))
        async with asyncio.timeout(5):
            while not (await reader.execute(text(held))).all():
                await asyncio.sleep(0)
    assert migrating.result() == (SchemaState("0002", HEAD, Position.BEHIND), AT_HEAD)


async def test_a_schema_that_is_not_at_head_is_refused_with_what_to_do(empty: Database) -> None:
    with pytest.raises(SchemaMismatch) as caught:
        await require_head(empty)
    assert str(caught.value) == (
        "the database schema holds no tables of syncer yet, and this version needs revision 0006:"
        " run `syncer migrate`"
    )
    await upgrade(empty, "0001")
    with pytest.raises(SchemaMismatch) as caught:
        await require_head(empty)
    assert str(caught.value) == (
        "the database schema is at revision 0001, and this version needs 0006: run `syncer migrate`"
    )
    await upgrade(empty)
    state = await schema_state(empty)
    assert state.at_head
    assert str(state) == (
        "the database schema is at revision 0006, the one that this version needs"
    )


@pytest.mark.parametrize("found", [["9999"], ["0001", "9999"]])
async def test_a_newer_schema_is_left_alone(database: Database, found: list[str]) -> None:
    await change(database, "DELETE FROM alembic_version")
    for revision in found:
        await change(database, "INSERT INTO alembic_version VALUES (:revision)", revision=revision)
    message = (
        f"the database schema is at revision {', '.join(found)}, which this version does not know"
        " (it needs 0006): use the newer syncer that migrated it"
    )
    for refused in (require_head(database), upgrade(database), downgrade(database, "base")):
        with pytest.raises(SchemaMismatch) as caught:
            await refused
        assert str(caught.value) == message
    assert await relations(database) == RELATIONS


async def test_an_unknown_target_is_told(database: Database) -> None:
    with pytest.raises(SchemaMismatch, match=r"^cannot migrate: Can't locate revision .*'nowhere'"):
        await upgrade(database, "nowhere")


@pytest.mark.parametrize("schema", ['Invoices of "ACME"', "select", "UPPER", "percent %s"])
async def test_the_schema_is_made_and_the_only_one_touched(empty_dsn: str, schema: str) -> None:
    named, public = Database(empty_dsn, schema=schema), Database(empty_dsn)
    try:
        assert await schema_state(named) == EMPTY
        assert await upgrade(named) == (EMPTY, AT_HEAD)
        assert await relations(named) == RELATIONS
        assert await relations(public) == set()
        assert await schema_state(public) == EMPTY
        assert await upgrade(public) == (EMPTY, AT_HEAD)
        assert await downgrade(named, "base") == (AT_HEAD, EMPTY)
        assert await relations(public) == RELATIONS
    finally:
        await named.close()
        await public.close()


# What a process does that starts with auto_migrate.
STARTS = """
import asyncio, sys
from syncer.store.engine import Database
from syncer.store.migrate import upgrade
before, after = asyncio.run(upgrade(Database(sys.argv[1], schema="ledger")))
print(before.current, after.current)
"""


@pytest.mark.slow
async def test_processes_that_start_together_take_turns(empty: Database, empty_dsn: str) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(python("-c", STARTS, empty_dsn)) for _ in range(4)]
    moves = [task.result() for task in tasks]
    assert sorted(moves) == [(0, "0006 0006\n")] * 3 + [(0, "None 0006\n")]
    named = Database(empty_dsn, schema="ledger")
    assert await relations(empty) == set()
    await require_head(named)
    await named.close()


async def test_upgrades_of_one_process_take_turns(empty: Database) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(upgrade(empty)) for _ in range(4)]
    moves = [task.result() for task in tasks]
    assert sorted(moves, key=lambda move: move[0].position.value) == [
        *[(AT_HEAD, AT_HEAD)] * 3,
        (EMPTY, AT_HEAD),
    ]


async def test_a_table_in_the_way_is_told_and_nothing_is_half_done(empty: Database) -> None:
    await change(empty, "CREATE TABLE sync_runs (x int)")
    with pytest.raises(DatabaseError, match=r'42P07 .*: relation "sync_runs" already exists$'):
        await upgrade(empty)
    assert await relations(empty) == {"sync_runs"}
    assert await schema_state(empty) == EMPTY


async def test_a_failed_migration_leaves_the_schema_as_it_was(empty: Database) -> None:
    await change(empty, "CREATE VIEW sync_freshness AS SELECT 1 AS one")
    with pytest.raises(DatabaseError, match=r"42P07"):
        await upgrade(empty)
    assert await schema_state(empty) == EMPTY
    assert await relations(empty) == {"sync_freshness"}


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_what_others_migrated_meanwhile_is_seen_at_any_isolation(
    empty: Database, empty_dsn: str, level: str
) -> None:
    name = empty_dsn.partition("?")[0].rpartition("/")[2]
    await change(empty, f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(upgrade(empty)) for _ in range(3)]
    assert sorted(task.result()[0].position.value for task in tasks) == [
        "at head",
        "at head",
        "empty",
    ]


async def test_a_missing_privilege_is_told(empty: Database, empty_dsn: str) -> None:
    role = f"syncer_{uuid4().hex}"
    url = urlsplit(empty_dsn)
    host = url.netloc.rpartition("@")[2]
    limited_dsn = f"postgresql://{role}@{host}{url.path}?{url.query}"
    await change(empty, f"CREATE ROLE {role} LOGIN PASSWORD 'hunter2'")
    await change(empty, "REVOKE CREATE ON SCHEMA public FROM public")
    try:
        for schema, place, kind in [
            ("public", "schema public", "SCHEMA"),
            ("ledger", "database syncer_test_", "DATABASE"),
        ]:
            refusal = f"denied for {place}.*; GRANT CREATE ON {kind} .* TO {role}, or"
            async with opened(Database(limited_dsn, password="hunter2", schema=schema)) as limited:
                with pytest.raises(DatabaseError, match=refusal):
                    await upgrade(limited)
        # A schema that is there needs no privilege on the database.
        await change(empty, "CREATE SCHEMA ledger")
        await change(empty, f"GRANT ALL ON SCHEMA ledger TO {role}")
        async with opened(Database(limited_dsn, password="hunter2", schema="ledger")) as limited:
            assert await upgrade(limited) == (EMPTY, AT_HEAD)
    finally:
        await change(empty, f"DROP OWNED BY {role}")
        await change(empty, f"DROP ROLE {role}")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_an_encoding_that_cannot_hold_every_text_is_refused(
    server_dsn: str, encoding: str
) -> None:
    name = f"syncer_test_{uuid4().hex}"
    latin = f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
    await asyncio.to_thread(administer, server_dsn, latin)
    try:
        async with opened(Database(dsn_of(server_dsn, name))) as database:
            with pytest.raises(DatabaseError, match=f"{encoding}.*ENCODING 'UTF8'"):
                await upgrade(database)
            assert await relations(database) == set()
    finally:
        await asyncio.to_thread(administer, server_dsn, f"DROP DATABASE {name} WITH (FORCE)")


async def test_an_unreachable_server_is_told() -> None:
    nowhere = Database("postgresql:///ledger?host=/nowhere&user=syncer")
    for asked in (upgrade(nowhere), schema_state(nowhere), require_head(nowhere)):
        with pytest.raises(DatabaseUnreachable, match=r"at /nowhere:5432/ledger"):
            await asked


async def test_logging_stays_as_it_was(empty: Database) -> None:
    ours = logging.getLogger("syncer.test")
    handlers = list(logging.getLogger().handlers)
    await upgrade(empty)
    assert not ours.disabled
    assert logging.getLogger().handlers == handlers


async def test_a_schema_that_is_at_head_waits_for_nobody(database: Database) -> None:
    async with migration_connection(database):
        assert await upgrade(database) == (AT_HEAD, AT_HEAD)
        assert await upgrade(database, HEAD) == (AT_HEAD, AT_HEAD)


def test_the_files_of_the_migrations_are_named_by_their_revisions() -> None:
    chain = list(ScriptDirectory.from_config(migration_config()).walk_revisions())
    names = [Path(script.path).name for script in reversed(chain)]
    assert [name.partition("_")[0] for name in names] == [
        script.revision for script in reversed(chain)
    ]
    assert names == sorted(names)


WHAT_A_LOOK_LOADS = """
import asyncio, sys
from syncer.store.engine import Database
from syncer.store.migrate import upgrade

async def look():
    database = Database(sys.argv[1])
    await upgrade(database)
    await database.close()

asyncio.run(look())
print("alembic" in sys.modules)
"""


async def test_a_look_at_a_schema_that_is_at_head_loads_no_alembic(
    empty: Database, empty_dsn: str
) -> None:
    async def loads() -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WHAT_A_LOOK_LOADS, empty_dsn, stdout=asyncio.subprocess.PIPE
        )
        stdout, _ = await process.communicate()
        return stdout.decode().strip()

    assert await loads() == "True"
    assert await schema_state(empty) == AT_HEAD
    assert await loads() == "False"


def test_the_scripts_may_lie_anywhere(tmp_path: Path) -> None:
    scripts = tmp_path / "100% of our, scripts: here"
    shutil.copytree(ROOT / "alembic", scripts)
    found = ScriptDirectory.from_config(migration_config(scripts))
    assert found.get_heads() == [HEAD]


WHERE_SCRIPTS_ARE = """
from syncer.store.migrate import migration_config
print(migration_config().get_main_option("script_location"))
"""


async def test_the_installed_scripts_come_first(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "syncer", tmp_path / "syncer")
    shutil.copytree(ROOT / "alembic", tmp_path / "syncer" / "_alembic")
    code, output = await python("-c", WHERE_SCRIPTS_ARE, cwd=tmp_path)
    assert (code, output) == (0, f"{tmp_path / 'syncer' / '_alembic'}\n")


@pytest.mark.slow
async def test_developers_can_use_alembic_itself(
    empty_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCER_DATABASE__URL", empty_dsn)
    monkeypatch.setenv("SYNCER_DATABASE__SCHEMA", "Some Schema")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    shutil.copytree(ROOT / "alembic", tmp_path / "alembic")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)

    async def alembic(*arguments: str) -> str:
        code, output = await python("-m", "alembic", *arguments, cwd=tmp_path)
        assert code == 0, output
        return output

    await alembic("upgrade", "head")
    assert "No new upgrade operations detected" in await alembic("check")
    assert HEAD in await alembic("current")
    await alembic("revision", "--autogenerate", "--rev-id", "0007", "-m", "nothing new")
    made = tmp_path / "alembic" / "versions" / "0007_nothing_new.py"
    assert "down_revision = '0006'" in made.read_text()
    await alembic("downgrade", "base")
    monkeypatch.delenv("SYNCER_DATABASE__URL")
    assert "CREATE VIEW invoice_changes" in await alembic("upgrade", "head", "--sql")


async def test_a_developer_without_a_database_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYNCER_DATABASE__URL", raising=False)
    code, output = await python("-m", "alembic", "current")
    assert code != 0
    assert "FAILED: set SYNCER_DATABASE__URL" in output
