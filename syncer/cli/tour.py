"""`syncer demo`: the whole of it, for real, in a directory that is gone afterwards."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from syncer import logs
from syncer.app import App, open_app
from syncer.cli.screen import print_records, print_table, say
from syncer.cli.status import print_status
from syncer.config import Settings
from syncer.demo.api import SimulatedApi
from syncer.demo.world import DEMO_SETTINGS, change_world, demo_world
from syncer.stop import Stop
from syncer.store.questions import CHANGES, FRESHNESS, OWED, SPENT_PER_MONTH, Question, ask
from syncer.sync.observer import Unobserved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncer.demo.account import SeenRequest
    from syncer.demo.delivery import SentResponse
    from syncer.demo.world import DemoAccount


async def give_tour() -> None:
    """Show two syncs of a simulated API into a real PostgreSQL, and what to ask it afterwards."""
    # Which account fails, and why, is in the tables.
    logs.configure(format="console", level="critical")
    with tempfile.TemporaryDirectory(prefix="syncer-demo-") as directory:
        await _tour(Path(directory))


async def _tour(directory: Path) -> None:
    world = demo_world()
    names = {account.simulated.id: account.name for account in world}

    def show_request(seen: SeenRequest, sent: SentResponse) -> None:
        page = seen.query.get("page", "1")
        say(
            f"  GET invoice-history of {names[seen.account_id]:<10} page {page:>2} -> {sent.status}"
        )

    say("Starting a PostgreSQL and a simulated Cloudflare API with five accounts ...")
    accounts = [account.simulated for account in world]
    async with SimulatedApi(accounts, settings=DEMO_SETTINGS, on_response=show_request) as api:
        settings = _settings(world, api.base_url, directory)
        async with open_app(settings, Unobserved()) as app:
            say("\nFirst sync: every page of every account.")
            await _sync(app)
            change = change_world(world)
            say(f"\nMeanwhile {change.account.name} pays {change.paid_id}, and gets a new invoice.")
            say("\nSecond sync: everything is read again, only what changed is written.")
            await _sync(app)
            await _show(app, CHANGES)
            say("")
            await print_status(
                {account.id: account.name for account in settings.accounts}, app.database
            )
            for question in (OWED, SPENT_PER_MONTH, FRESHNESS):
                await _show(app, question, with_sql=True)
    say("\nThat was all of it: the server is stopped and its directory removed.")
    say("Next: export CLOUDFLARE_API_TOKEN and CLOUDFLARE_ACCOUNT_ID, then `syncer sync`.")


def _settings(world: Sequence[DemoAccount], base_url: str, directory: Path) -> Settings:
    return Settings.model_validate(
        {
            "cloudflare": {"base_url": base_url},
            "database": {"data_dir": directory / "postgres"},
            "accounts": [
                {
                    "id": account.simulated.id,
                    "name": account.name,
                    "api_token": account.token,
                }
                for account in world
            ],
        }
    )


async def _sync(app: App) -> None:
    accounts = app.settings.read_accounts()
    result = await app.runner.run(accounts, trigger="command", stop=Stop())
    say("")
    print_records(result.records)


async def _show(app: App, question: Question, *, with_sql: bool = False) -> None:
    say("")
    if with_sql:
        say("\n".join(f"  {line}" for line in question.sql.splitlines()))
    async with app.database.transaction() as conn:
        reply = await ask(conn, question)
    print_table(question.title, reply.columns, reply.rows)
