"""Which rows a sync compares, and which it writes: told by what is done to them unnoticed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from tests.integration.running import SETTINGS, of

if TYPE_CHECKING:
    from syncer.sync.run import RunSettings
    from tests.integration.running import Row, Site

TABLES = ("invoices", "invoice_history", "rejected_invoices", "account_digests")
# What shows which rows were compared: each then gets its own text back.
UNSEEN = "UPDATE invoices SET created_by = 'unseen'"


async def written(here: Site) -> list[Row]:
    """Which transaction wrote each row, and where it is: both change when it is rewritten."""
    query = " UNION ALL ".join(
        f"SELECT '{name}' AS name, CAST((xmin, ctid) AS text) AS row FROM {name}" for name in TABLES
    )
    return await here.rows(f"SELECT * FROM ({query}) AS all_rows ORDER BY name, row")


async def unnoticed(here: Site, statement: str) -> None:
    """Change rows behind the trigger's back."""
    async with here.database.transaction() as conn:
        await conn.execute(text("SET LOCAL session_replication_role = replica"))
        await conn.execute(text(statement))


async def compared(here: Site, name: str = "production") -> set[str]:
    """Ids of the rows that were compared, or written, since UNSEEN."""
    query = "SELECT id FROM invoices WHERE account_id = :account AND created_by <> 'unseen'"
    return {row["id"] for row in await here.rows(query, account=here.accounts[name].id)}


async def synced(here: Site, settings: RunSettings = SETTINGS) -> tuple[int, ...]:
    """Sync, which has to be complete; inserted, updated, unchanged, missing."""
    record = of(await here.run(settings), "production")
    assert (record.status, record.reason) == ("complete", None)
    return record.inserted, record.updated, record.unchanged, record.missing
