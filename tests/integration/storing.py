"""Accounts whose storing meets a trouble, and what the tables say of them afterwards."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from tests.integration.running import SETTINGS, Site, of
from tests.integration.stored import opened
from tests.sessions import PATIENCE_S, WAITING, holding, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    import asyncpg
    from structlog.typing import EventDict

    from syncer.store.engine import Database
    from syncer.sync.run import RunResult, RunSettings

# Where the storing of an account stands when the blow falls: at the account's state, which it locks
# first, or when invoices and history are written and only the journal is still to come.
AT_THE_FENCE = "LOCK TABLE sync_state IN EXCLUSIVE MODE"
AT_THE_JOURNAL = "LOCK TABLE account_syncs IN SHARE ROW EXCLUSIVE MODE"

# Counts how often the invoices of an account are about to be written, whatever becomes of it.
COUNT_TRIES = (
    "CREATE SEQUENCE tries",
    """CREATE FUNCTION count_try() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS
        $$ BEGIN PERFORM nextval('public.tries'); RETURN NULL; END $$""",
    """CREATE TRIGGER count_tries BEFORE INSERT ON invoices
        FOR EACH STATEMENT EXECUTE FUNCTION count_try()""",
)

FIRST = ("complete", None, 60, 0, 0, "succeeded")

Rows = list[tuple[object, ...]]


@dataclass(frozen=True)
class Told:
    """What the tables say of the account, as far as it is foreseeable."""

    invoices: int
    changes: Rows
    walks: Rows
    state: tuple[object, ...]


STORED = Told(
    invoices=61,
    changes=[("changed", "edited")],
    walks=[FIRST, ("complete", None, 1, 1, 59, "succeeded")],
    state=("complete", None, 0, 61),
)

NOT_STORED = Told(
    invoices=60,
    changes=[],
    walks=[FIRST, ("failed", "storage", 0, 0, 0, "failed")],
    state=("failed", "storage", 1, 61),
)


@asynccontextmanager
async def reaching(here: Site, database: Database) -> AsyncIterator[Site]:
    """Give the same accounts and API, and another way to a database, which is closed then."""
    async with opened(database):
        yield Site(here.api, here.client, database, here.accounts, here.simulated)


async def store_and_change(here: Site) -> None:
    """Store an account of 60 invoices; since then one was edited at the API, and one is new."""
    account = here.add("production", 60)
    assert of(await here.run(), "production").status == "complete"
    account.invoices[0] = account.invoices[0] | {"description": "edited"}
    account.invoices.insert(0, account.invoices[0] | {"id": "in_new"})


async def told(database: Database) -> Told:
    """Read what the tables say."""

    async def rows(query: str) -> Rows:
        return [tuple(row) for row in await conn.execute(text(query))]

    async with database.transaction() as conn:
        ((invoices,),) = await rows("SELECT count(*) FROM invoices")
        (state,) = await rows("""
            SELECT last_status, last_error_kind, consecutive_failures, invoices_fetched
            FROM sync_state
        """)
        return Told(
            invoices=int(str(invoices)),
            changes=await rows(
                "SELECT change, after ->> 'description' FROM invoice_history ORDER BY id"
            ),
            walks=await rows("""
                SELECT walk.status, reason, inserted, updated, unchanged, run.status
                FROM account_syncs AS walk JOIN sync_runs AS run ON run.id = run_id
                ORDER BY run.started_at
            """),
            state=state,
        )


async def tries(here: Site) -> int:
    """How often the account was about to be written since COUNT_TRIES."""
    row = await here.row("SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS n FROM tries")
    return int(row["n"])


async def converges(here: Site) -> None:
    """Run once more, and see that everything is stored, and the run after that writes nothing."""
    assert of(await here.run(), "production").status == "complete"
    record = of(await here.run(), "production")
    counts = (record.inserted, record.updated, record.unchanged, record.missing)
    assert (record.status, counts) == ("complete", (0, 0, 61, 0))
    now = await told(here.database)
    assert (now.invoices, now.changes, now.state) == (STORED.invoices, STORED.changes, STORED.state)


def meanwhile(here: Site, act: Callable[[], Awaitable[object]]) -> None:
    """Have something happen once, while the account is being walked the next time."""
    account = here.simulated["production"]

    async def once(_nth: int, _seen: object) -> None:
        account.script = None
        await act()

    account.script = once


async def until_logged(events: Sequence[EventDict], name: str) -> None:
    """Wait until an event of this name was captured."""
    async with asyncio.timeout(PATIENCE_S):
        while all(event["event"] != name for event in events):
            await asyncio.sleep(0)


@dataclass(frozen=True)
class HeldUp:
    """A run whose storing waits for `rival`, which is a session of somebody else."""

    rival: asyncpg.Connection
    run: asyncio.Task[RunResult]


@asynccontextmanager
async def held_up(
    here: Site, dsn: str, stage: str, settings: RunSettings = SETTINGS
) -> AsyncIterator[HeldUp]:
    """Begin a run, hold it up at the stage until the context ends, and see it to its end."""
    walking, held = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        walking.set()
        await held.wait()

    meanwhile(here, wait)
    run = asyncio.create_task(here.run(settings))
    try:
        await walking.wait()
        async with holding(dsn, stage) as rival:
            held.set()
            await until(rival, WAITING, 1)
            yield HeldUp(rival, run)
        await run
    finally:
        run.cancel()
