"""`python -m syncer.demo.fill DSN`: an invented company's three weeks, in a database of yours.

The database is to be empty. It is migrated, the simulated API is walked as `syncer sync` walks the
real one, and afterwards every time is set to the story's, so that what queries answer is the same
each time. With `--until-now` the story ends now instead of on a day in November 2025.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import text

from syncer import __version__, logs
from syncer.account import Account, Credential
from syncer.cloudflare.client import ClientSettings, CloudflareClient
from syncer.cloudflare.walk import WalkSettings
from syncer.demo.api import SimulatedApi
from syncer.demo.story import STORY_NOW, chapters, make_company
from syncer.errors import SyncerError
from syncer.stop import Stop
from syncer.store.engine import Database
from syncer.store.migrate import upgrade
from syncer.sync.account import AccountSettings
from syncer.sync.observer import Unobserved
from syncer.sync.run import Runner, RunSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncer.demo.story import Chapter, StoryAccount

# How the operations page has an account forgotten.
_FORGET: Final = "DELETE FROM sync_state WHERE account_name = 'former'"
_FORGOTTEN_AFTER: Final = 3  # chapters

_SETTINGS: Final = RunSettings(
    account=AccountSettings(
        walk=WalkSettings(),
        account_timeout_s=60.0,
        full_compare_every=timedelta(days=1),
        stale_after=timedelta(hours=36),
    ),
    concurrent_accounts=1,  # the order in which changes are stored is the same each time
    version=__version__,
    host="demo",
)

# Each run is moved as a whole once it is over: what it stored gets its account's time. A walk
# begins ten seconds after the one before it, and takes one for each request.
_MOVE: Final = (
    """
INSERT INTO sync_runs (
    id, trigger, started_at, finished_at, status, accounts_total, accounts_complete, version, host
)
SELECT
    cast(:run AS uuid), trigger, cast(:at AS timestamptz), cast(:at AS timestamptz), status,
    accounts_total, accounts_complete, version, host
FROM sync_runs
WHERE id = cast(:real_run AS uuid)
""",
    """
UPDATE account_syncs
SET
    run_id = cast(:run AS uuid),
    started_at = cast(:at AS timestamptz) + (position - 1) * interval '10 seconds',
    finished_at = cast(:at AS timestamptz) + (position - 1) * interval '10 seconds'
        + requests * interval '1 second',
    cf_ray = left(md5(cf_ray || cast(:run AS text)), 16) || '-SIM'
FROM unnest(cast(:accounts AS text[])) WITH ORDINALITY AS listed (account_id, position)
WHERE run_id = cast(:real_run AS uuid) AND account_syncs.account_id = listed.account_id
""",
    "DELETE FROM sync_runs WHERE id = cast(:real_run AS uuid)",
    """
UPDATE sync_runs
SET finished_at = (SELECT max(finished_at) FROM account_syncs WHERE run_id = sync_runs.id)
WHERE id = cast(:run AS uuid)
""",
    """
UPDATE invoices
SET
    first_seen_at = CASE WHEN first_seen_at < :began THEN first_seen_at ELSE finished_at END,
    changed_at = CASE WHEN changed_at < :began THEN changed_at ELSE finished_at END,
    missing_since = CASE WHEN missing_since < :began THEN missing_since
        WHEN missing_since IS NOT NULL THEN finished_at END,
    invoice_pdf_at = CASE WHEN invoice_pdf_at < :began THEN invoice_pdf_at
        WHEN invoice_pdf_at IS NOT NULL THEN finished_at END
FROM account_syncs
WHERE run_id = cast(:run AS uuid) AND account_syncs.account_id = invoices.account_id
    AND greatest(first_seen_at, changed_at, missing_since, invoice_pdf_at) >= :began
""",
    """
UPDATE invoice_history
SET run_id = cast(:run AS uuid), observed_at = finished_at
FROM account_syncs
WHERE account_syncs.run_id = cast(:run AS uuid)
    AND account_syncs.account_id = invoice_history.account_id
    AND invoice_history.run_id = cast(:real_run AS uuid)
""",
    """
UPDATE rejected_invoices
SET run_id = cast(:run AS uuid), first_seen_at = finished_at
FROM account_syncs
WHERE account_syncs.run_id = cast(:run AS uuid)
    AND account_syncs.account_id = rejected_invoices.account_id
    AND rejected_invoices.run_id = cast(:real_run AS uuid)
""",
    """
UPDATE sync_state
SET
    last_run_id = cast(:run AS uuid),
    last_started_at = started_at,
    last_finished_at = finished_at,
    last_complete_at = CASE WHEN last_complete_at < :began THEN last_complete_at
        WHEN last_complete_at IS NOT NULL THEN finished_at END,
    complete_as_of = CASE WHEN complete_as_of < :began THEN complete_as_of
        WHEN complete_as_of IS NOT NULL THEN started_at END
FROM account_syncs
WHERE account_syncs.run_id = cast(:run AS uuid)
    AND account_syncs.account_id = sync_state.account_id
    AND last_run_id = cast(:real_run AS uuid)
""",
    # They are only of use to a sync, which does without them; they name the real run.
    "DELETE FROM account_digests",
)


async def fill(dsn: str, *, now: datetime = STORY_NOW) -> None:
    """Migrate an empty database and tell it the story, which ends an hour before `now`.

    `now` must not lie in the future. Raises `SyncerError`, also where the database has runs
    already: its times would be moved.
    """
    database = Database(dsn)
    try:
        await upgrade(database)
        async with database.transaction() as conn:
            if (await conn.execute(text("SELECT 1 FROM sync_runs LIMIT 1"))).first():
                raise SyncerError(
                    "the database has runs already: give one that is empty, such as from `createdb`"
                )
        company = make_company()
        for account in company.values():
            _shift(account, now - STORY_NOW)
        simulated = [account.simulated for account in company.values()]
        async with SimulatedApi(simulated) as api:
            client = CloudflareClient(
                ClientSettings(base_url=api.base_url, user_agent=f"syncer/{__version__}"),
                jitter=lambda: 0.0,
            )
            try:
                for number, chapter in enumerate(chapters(), 1):
                    at = chapter.at + (now - STORY_NOW)
                    await _tell(database, client, company, chapter, at)
                    if number == _FORGOTTEN_AFTER:
                        async with database.transaction() as conn:
                            await conn.execute(text(_FORGET))
            finally:
                await client.close()
    finally:
        await database.close()


def _shift(account: StoryAccount, by: timedelta) -> None:
    for invoice in account.future:
        invoice["created"] += int(by.total_seconds())


async def _tell(
    database: Database,
    client: CloudflareClient,
    company: Mapping[str, StoryAccount],
    chapter: Chapter,
    at: datetime,
) -> None:
    for account in company.values():
        account.make_until(at)
    chapter.happens(company)
    accounts = [
        Account(one.simulated.id, one.name, Credential(token=one.token))
        for one in company.values()
        if one.name != "former" or chapter in chapters()[:_FORGOTTEN_AFTER]
    ]
    async with database.transaction() as conn:
        began = (await conn.execute(text("SELECT now()"))).scalar_one()
    runner = Runner(client=client, database=database, settings=_SETTINGS, observer=Unobserved())
    tick = at if chapter.trigger == "schedule" else None
    result = await runner.run(accounts, trigger=chapter.trigger, tick=tick, stop=Stop())
    values = {
        "real_run": result.run_id,
        "run": _run_id(chapter),
        "at": at,
        "began": began,
        "accounts": [account.id for account in accounts],
    }
    async with database.transaction() as conn:
        for statement in _MOVE:
            await conn.execute(text(statement), values)


def _run_id(chapter: Chapter) -> UUID:
    return uuid5(NAMESPACE_URL, f"syncer/demo/{chapter.at.isoformat()}")


def main() -> None:
    """Fill the database; the exit code is 3 where it is not to be had or not empty."""
    parser = argparse.ArgumentParser(prog="python -m syncer.demo.fill", description=__doc__)
    parser.add_argument("dsn", metavar="DSN", help="postgresql://USER@HOST:PORT/DATABASE")
    parser.add_argument("--until-now", action="store_true", help="let the story end now")
    arguments = parser.parse_args()
    logs.configure(format="console", level="critical")  # failures are part of the story
    now = datetime.now(UTC).replace(microsecond=0) if arguments.until_now else STORY_NOW
    try:
        asyncio.run(fill(arguments.dsn, now=now))
    except SyncerError as error:
        sys.stderr.write(f"fill: {error}\n")
        sys.exit(3)


if __name__ == "__main__":
    main()
