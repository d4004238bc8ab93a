"""Shorthand of the store's tests."""

from __future__ import annotations

import traceback
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from msgspec.structs import replace
from sqlalchemy import text

from syncer.invoice import Invoice
from syncer.store.invoices import Batch, MergeCounts, merge_invoices
from syncer.store.journal import fence_account
from syncer.store.locks import Locks
from syncer.store.walks import read_walk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from syncer.invoice import Rejection
    from syncer.store.engine import Database

ACCOUNT = "023e105f4ecef8ad9ca31a8372d0c353"

# An invoice with all there is.
FULL = Invoice(
    id="in_full",
    status="open",
    currency="usd",
    amount_due=Decimal("1050.50"),
    amount_paid=Decimal("0.00"),
    amount_remaining=Decimal("1050.50"),
    attempt_count=2,
    attempted=True,
    auto_advance=False,
    created_at=datetime(2025, 3, 1, 12, 30, 15, 250000, tzinfo=UTC),
    created_by="billing",
    description="AI Gateway credits",
    invoice_origin="top_up",
    invoice_pdf="https://pdf.example/first",
    extra='{"tax": 1.50, "lines": [{"quantity": 3}]}',
)


@asynccontextmanager
async def opened(database: Database) -> AsyncIterator[Database]:
    """Close it at the end."""
    try:
        yield database
    finally:
        await database.close()


PLAIN = Invoice(
    id="in_plain",
    currency="usd",
    amount_due=Decimal(1000),
    amount_paid=Decimal(0),
    amount_remaining=Decimal(1000),
)


def invoice(id_: str, **fields: object) -> Invoice:
    """Build an invoice about which only `fields` matters."""
    return replace(PLAIN, id=id_, **fields)


def invoices(count: int, **fields: object) -> list[Invoice]:
    """Build invoices whose ids are in order."""
    return [invoice(f"in_{number:05}", **fields) for number in range(count)]


async def merge(
    database: Database,
    rows: Sequence[Invoice],
    *,
    rejections: Sequence[Rejection] = (),
    listed: Iterable[str] | None = None,
    account_id: str = ACCOUNT,
    run_id: UUID | None = None,
) -> MergeCounts:
    """Merge as a sync does: in a transaction that holds the account."""
    batch = Batch(rows, rejections, None if listed is None else frozenset(listed))
    async with Locks(database) as locks:
        assert await locks.try_account(account_id)
        async with database.transaction() as conn:
            started_at, _ = await read_walk(conn, account_id, longest=timedelta())
            await fence_account(conn, account_id, started_at)
            return await merge_invoices(conn, account_id, run_id or uuid4(), batch)


async def rows_of(conn: AsyncConnection, query: str, **values: object) -> list[dict[str, Any]]:
    """Fetch the rows of a query."""
    return [dict(row) for row in (await conn.execute(text(query), values)).mappings()]


async def fetch(database: Database, query: str, **values: object) -> list[dict[str, Any]]:
    """Fetch the rows of a query, in a transaction of its own."""
    async with database.transaction() as conn:
        return await rows_of(conn, query, **values)


async def change(database: Database, statement: str, **values: object) -> None:
    """Execute a statement, in a transaction of its own."""
    async with database.transaction() as conn:
        await conn.execute(text(statement), values)


async def history(database: Database) -> list[dict[str, Any]]:
    """Fetch all changes, in the order in which they were seen."""
    return await fetch(
        database,
        """SELECT account_id, invoice_id, run_id, observed_at, change,
            cast(before AS text), cast(after AS text) FROM invoice_history ORDER BY id""",
    )


def told(error: BaseException) -> str:
    """Everything that a log could print about an error."""
    return "".join(traceback.format_exception(error))
