"""Every invoice of every account through the official SDK, a page at a time, into PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from cloudflare import AsyncCloudflare, DefaultAioHttpClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

FIELDS = [
    "account_id",
    "id",
    "status",
    "currency",
    "amount_due",
    "amount_paid",
    "amount_remaining",
    "created",
    "attempt_count",
    "attempted",
    "auto_advance",
    "created_by",
    "description",
    "invoice_origin",
    "invoice_pdf",
]
UPSERT = (
    f"INSERT INTO invoices ({', '.join(FIELDS)}) "  # noqa: S608 - names of our own
    f"VALUES ({', '.join(f'%({name})s' for name in FIELDS)}) ON CONFLICT (account_id, id) "
    f"DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in FIELDS[2:])}"
)
TABLE = Path(__file__).with_name("table.sql").read_text()
URL, DSN = os.environ["BENCH_URL"], os.environ["BENCH_DSN"]
AT_A_TIME = 4  # accounts; more are no faster


async def pages(client: AsyncCloudflare, account_id: str) -> AsyncIterator[list[dict[str, Any]]]:
    """Give the invoices of each page, as long as there are more."""
    page, more = 1, True
    while more:
        # Raw, because the SDK's own model has amounts as floats.
        answer = await client.ai_gateway.billing.with_raw_response.invoice_history(
            account_id=account_id, type="all", extra_query={"page": page, "per_page": 50}
        )
        result = json.loads(await answer.text(), parse_float=Decimal)["result"]
        yield result["invoices"]
        page, more = page + 1, result["pagination"]["has_more"]


async def sync(numbers: Iterator[int], http: DefaultAioHttpClient) -> None:
    """Fetch and upsert one account after the other, each in one transaction."""
    absent = dict.fromkeys(FIELDS)
    async with await psycopg.AsyncConnection.connect(DSN) as db:
        for number in numbers:
            account_id = f"{number:032x}"
            client = AsyncCloudflare(api_token=f"token-{number}", base_url=URL, http_client=http)
            async with db.transaction(), db.cursor() as cursor:
                async for invoices in pages(client, account_id):
                    rows = [{**absent, **invoice, "account_id": account_id} for invoice in invoices]
                    await cursor.executemany(UPSERT, rows)


async def main() -> None:
    """Sync all accounts, several at a time."""
    async with await psycopg.AsyncConnection.connect(DSN) as db:
        await db.execute(TABLE)
    numbers = iter(range(int(os.environ["BENCH_ACCOUNTS"])))
    async with DefaultAioHttpClient() as http, asyncio.TaskGroup() as group:
        for _ in range(AT_A_TIME):
            group.create_task(sync(numbers, http))


if __name__ == "__main__":
    asyncio.run(main())
