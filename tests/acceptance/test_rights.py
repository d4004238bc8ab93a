"""The program as the operations page sets it up for little trust: an owner, and a daemon."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.program import Program, program
from tests.servers import administer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def owners(tmp_path: Path, owned: tuple[str, str]) -> AsyncIterator[Program]:
    """The program, with the owner's way to a database that was never migrated."""
    async with program(tmp_path, owned[0]) as made:
        yield made


@pytest.fixture
async def daemons(tmp_path: Path, daemon_dsn: str) -> AsyncIterator[Program]:
    """The program, with the daemon's way to a migrated database."""
    async with program(tmp_path, daemon_dsn) as made:
        made.settings["database"] = {"auto_migrate": False}
        yield made


@pytest.mark.slow
async def test_a_plain_owner_migrates_and_syncs(owners: Program) -> None:
    owners.add("production", 3)
    assert (await owners.run("migrate")).code == 0
    assert (await owners.run("sync")).code == 0
    assert (await owners.run("check")).code == 0


@pytest.mark.slow
async def test_the_daemon_does_its_work_with_the_documented_rights(daemons: Program) -> None:
    daemons.add("production", 60)
    checked = await daemons.run("check")
    assert (checked.code, "error" in checked.stdout) == (0, False), checked.stdout
    assert (await daemons.run("sync")).code == 0
    async with daemons.running("run") as running:
        done = await running.event("account.synced")
        assert done["unchanged"] == 60
        assert (await running.stop(signal.SIGTERM))[0] == 0
    shown = await daemons.run("status")
    assert shown.code == 0
    assert re.search(r"^production +complete .*fresh +60 +0$", shown.stdout, re.MULTILINE)
    refused = await daemons.run("migrate", SYNCER_DATABASE__SCHEMA="another")
    assert refused.code == 3
    assert "permission denied" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.fixture
def crippled(daemons: Program, database_dsn: str) -> Program:
    """The same, without two of its rights."""
    role = daemons.dsn.partition("://")[2].partition(":")[0]
    administer(database_dsn, f"REVOKE UPDATE ON invoices, sync_runs FROM {role}")
    return daemons


@pytest.mark.slow
async def test_check_names_the_rights_that_are_missing(crippled: Program) -> None:
    crippled.add("production", 3)
    checked = await crippled.run("check")
    assert checked.code == 2
    line = "its user lacks UPDATE on invoices, sync_runs; grant what docs/operations.md lists"
    assert f"error    database: {line}" in checked.stdout.splitlines()
    pruning = await crippled.run("check", SYNCER_RETENTION__SYNC_RUNS="90d")
    assert "docs/operations.md lists, and docs/retention.md" in pruning.stdout
    synced = await crippled.run("sync")
    assert synced.code == 3
    (last,) = (line for line in synced.stderr.splitlines() if line.startswith("syncer: "))
    assert last.endswith(
        "permission denied for table sync_runs; its user lacks a right, see docs/operations.md"
        " (for [retention], docs/retention.md)"
    )
    assert "Traceback" not in synced.stderr


@pytest.fixture
def plundered(daemons: Program, database_dsn: str) -> Program:
    """The same, without one of its tables and the view of it."""
    administer(database_dsn, "DROP TABLE sync_state CASCADE")
    return daemons


@pytest.mark.slow
async def test_check_names_a_table_that_is_gone(plundered: Program) -> None:
    plundered.add("production", 3)
    checked = await plundered.run("check")
    assert checked.code == 3
    (schema,) = (line for line in checked.stdout.splitlines() if " schema: " in line)
    assert schema.startswith("error    schema: the database schema is at revision ")
    assert schema.endswith(", but sync_freshness, sync_state are gone: restore a backup")
    assert (await plundered.run("sync")).code == 3


@pytest.mark.slow
async def test_check_names_the_rights_that_retention_needs(daemons: Program) -> None:
    daemons.add("production", 3)
    daemons.settings["retention"] = {"sync_runs": "90d", "invoice_history": "730d"}
    checked = await daemons.run("check")
    assert checked.code == 2
    line = (
        "error    database: its user lacks DELETE on sync_runs, invoice_history; INSERT on"
        " history_horizon; UPDATE on history_horizon; grant what docs/operations.md lists, and"
        " docs/retention.md"
    )
    assert line in checked.stdout.splitlines()
