"""A schema with data is taken back and forth, and no invoice and no change is lost by that."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from syncer.errors import SchemaMismatch
from syncer.store.migrate import require_head, upgrade
from tests.documents import ROOT, section
from tests.integration.running import of, site

if TYPE_CHECKING:
    from syncer.store.engine import Database

KEPT = """
    SELECT (SELECT jsonb_agg(to_jsonb(one) ORDER BY id) FROM invoices AS one) AS invoices,
        (SELECT jsonb_agg(to_jsonb(one) ORDER BY id) FROM invoice_history AS one) AS history
"""


@pytest.mark.slow
async def test_the_documented_rollback_keeps_invoices_and_history(
    database: Database, database_dsn: str
) -> None:
    found = re.search(r"alembic (downgrade \d+)", section("docs/upgrade.md", "## Rollback"))
    assert found is not None
    async with site(database) as here:
        production = here.add("production", 60)
        await here.run()
        production.invoices[0]["status"] = "void"
        del production.invoices[7]
        await here.run()
        before = await here.row(KEPT)
        command = [sys.executable, "-m", "alembic", *found[1].split()]
        subprocess.run(  # noqa: ASYNC221 - nothing else is under way
            command, check=True, cwd=ROOT, env=os.environ | {"SYNCER_DATABASE__URL": database_dsn}
        )
        with pytest.raises(SchemaMismatch, match="run `syncer migrate`"):
            await require_head(database)
        assert await here.row(KEPT) == before
        await upgrade(database)
        record = of(await here.run(), "production")
        assert (record.status, record.updated, record.inserted) == ("complete", 0, 0)
        assert await here.row(KEPT) == before
