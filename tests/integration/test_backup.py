"""The commands of the backup page, run: an older state is restored, and the next sync mends it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from syncer.demo.cluster import find_binaries
from syncer.demo.invoices import make_history
from syncer.store.engine import Database
from syncer.store.migrate import upgrade
from tests.documents import blocks, section
from tests.integration.roles import documented_role
from tests.integration.running import of, site
from tests.integration.stored import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncer.demo.account import SimulatedAccount
    from tests.integration.running import Site

PAGE = "docs/backup.md"


def commands(heading: str) -> str:
    (block,) = (
        block.text
        for block in blocks(PAGE)
        if block.language == "sh" and block.text in section(PAGE, heading)
    )
    return block


@pytest.fixture
def tools(server_dsn: str) -> dict[str, str]:
    """The variables with which PostgreSQL's programs of the server's version find it."""

    async def ask() -> int:
        connection = await asyncpg.connect(server_dsn)
        version: int = connection.get_server_version().major
        await connection.close()
        return version

    major = asyncio.run(ask())
    found = [find_binaries(), Path(shutil.which("pg_dump") or "/nowhere/pg_dump").parent]
    for directory in found:
        told = subprocess.run([directory / "pg_dump", "--version"], capture_output=True, check=True)
        if f" {major}." in told.stdout.decode():
            break
    else:
        pytest.skip(f"no pg_dump of PostgreSQL {major}")
    url = urlsplit(server_dsn)
    options = {name: values[0] for name, values in parse_qs(url.query).items()}
    return os.environ | {
        "PATH": f"{directory}:{os.environ['PATH']}",
        "PGHOST": options.get("host") or url.hostname or "",
        "PGPORT": str(url.port or options.get("port", 5432)),
        "PGUSER": url.username or "postgres",
        "PGPASSWORD": url.password or "",
    }


@pytest.fixture
def granted(owned: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """A migrated database of a plain owner: the DSN of the daemon, and the name of both."""
    owner, admin = owned

    async def migrate() -> None:
        async with opened(Database(owner)) as database:
            await upgrade(database)

    asyncio.run(migrate())
    with documented_role("syncer_daemon", admin) as daemon:
        yield daemon, urlsplit(owner).path[1:]


async def run(script: str, name: str, directory: Path, tools: dict[str, str]) -> None:
    """Run commands of the page on the database, and with the role, of this name."""
    named = re.sub(r"\bsyncer\b(?!\.dump)", name, script)
    process = await asyncio.create_subprocess_exec(
        "bash", "-ec", named, cwd=directory, env=tools, stderr=subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert (process.returncode, errors.decode()) == (0, "")


async def agrees(here: Site, account: SimulatedAccount) -> None:
    stored = await here.rows(
        "SELECT id, status, amount_due FROM invoices WHERE missing_since IS NULL ORDER BY id"
    )
    served = sorted((one["id"], one["status"], int(one["amount_due"])) for one in account.invoices)
    assert [tuple(row.values()) for row in stored] == served


async def test_a_sync_after_restoring_an_older_state_equals_the_api(
    granted: tuple[str, str], tools: dict[str, str], tmp_path: Path
) -> None:
    daemon, name = granted
    async with opened(Database(daemon)) as database, site(database) as here:
        production = here.add("production", 60)
        await here.run()
        await run(commands("## Making one"), name, tmp_path, tools)
        production.invoices[0]["status"] = "void"
        gone = production.invoices.pop(7)["id"]
        production.invoices[:0] = make_history("later", 2)
        await here.run()
        await agrees(here, production)
        lost = await here.rows("SELECT change FROM invoice_history ORDER BY change")

        await run(commands("## Restoring"), name, tmp_path, tools)
        assert await here.row("SELECT count(*) FROM invoice_history") == {"count": 0}
        assert await here.row("SELECT count(*) FROM invoices") == {"count": 60}
        production.invoices[9]["status"] = "uncollectible"
        record = of(await here.run(), "production")
        assert (record.status, record.inserted, record.missing) == ("complete", 2, 1)
        await agrees(here, production)
        history = await here.rows("SELECT change, invoice_id FROM invoice_history ORDER BY change")
        assert [row["change"] for row in history] == ["changed", *(row["change"] for row in lost)]
        assert history[-1] == {"change": "missing", "invoice_id": gone}
