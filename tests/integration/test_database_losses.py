"""Connections that are lost while an account is stored: tried again, whole or not at all."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from syncer.errors import DatabaseUnreachable
from syncer.store.engine import Database
from tests.integration.running import SETTINGS, Site, of
from tests.integration.storing import (
    AT_THE_FENCE,
    AT_THE_JOURNAL,
    FIRST,
    STORED,
    converges,
    held_up,
    meanwhile,
    reaching,
    store_and_change,
    told,
)
from tests.proxies.frames import PostgresFrames
from tests.proxies.proxy import Proxy, Traffic
from tests.proxies.servers import open_postgres, through
from tests.sessions import ALL, LOCKS, POOL, WAITING, holding, session, terminate, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.proxies.proxy import Message, Passage
    from tests.servers import OwnServer

AT_A_STAGE = pytest.mark.parametrize(
    "stage", [AT_THE_FENCE, AT_THE_JOURNAL], ids=["fence", "journal"]
)


@pytest.mark.parametrize("which", [POOL, LOCKS, ALL], ids=["pool", "locks", "all"])
@AT_A_STAGE
async def test_sessions_that_are_ended_while_storing_cost_another_try(
    here: Site, database_dsn: str, stage: str, which: str
) -> None:
    await store_and_change(here)
    async with held_up(here, database_dsn, stage) as held:
        assert await terminate(held.rival, which) >= 1
    assert of(held.run.result(), "production").status == "complete"
    assert await told(here.database) == STORED
    await converges(here)


@AT_A_STAGE
async def test_a_server_that_restarts_while_storing_costs_another_try(
    here: Site, server: OwnServer, stage: str
) -> None:
    async with reaching(here, Database(server.dsn)) as there:
        await store_and_change(there)
        async with held_up(there, server.dsn, stage) as held:
            await server.restart()
        assert of(held.run.result(), "production").status == "complete"
        assert await told(there.database) == STORED
        await converges(there)


@asynccontextmanager
async def proxied(here: Site, dsn: str) -> AsyncIterator[tuple[Site, Traffic]]:
    """The same API, and the database by way of a proxy whose traffic can be watched."""
    traffic = Traffic()
    async with (
        Proxy("database", traffic, PostgresFrames, lambda: open_postgres(dsn)) as proxy,
        reaching(here, Database(through(dsn, proxy.port))) as there,
    ):
        yield there, traffic


def lose_answer_to_commit(traffic: Traffic) -> list[Message]:
    """Cut the connection on which the next commit is confirmed; what was lost, once it was."""
    lost: list[Message] = []

    async def cut(passage: Passage) -> None:
        passage.cut()

    def watch(message: Message) -> Callable[[Passage], Awaitable[None]] | None:
        is_confirmed = (message.frame.kind, message.frame.text) == ("CommandComplete", "COMMIT")
        if lost or not is_confirmed:
            return None
        lost.append(message)
        return cut

    traffic.watch = watch
    return lost


async def test_a_commit_whose_answer_is_lost_is_not_done_twice(
    here: Site, database_dsn: str
) -> None:
    async with proxied(here, database_dsn) as (there, traffic):
        await store_and_change(there)
        lost: list[list[Message]] = []

        async def lose() -> None:
            lost.append(lose_answer_to_commit(traffic))

        meanwhile(there, lose)
        record = of(await there.run(), "production")
        assert len(lost[0]) == 1
        counts = (record.inserted, record.updated, record.unchanged)
        assert (record.status, counts) == ("complete", (1, 1, 59))
        assert await told(there.database) == STORED
        await converges(there)


async def test_a_run_whose_beginning_is_lost_asks_for_nothing(
    here: Site, database_dsn: str
) -> None:
    await store_and_change(here)
    asked = len(here.api.requests)
    async with holding(database_dsn, "LOCK TABLE sync_runs IN SHARE MODE") as rival:
        run = asyncio.create_task(here.run())
        await until(rival, WAITING, 1)
        await terminate(rival, POOL)
        with pytest.raises(DatabaseUnreachable, match=r"^cannot reach PostgreSQL at [^\n]*$"):
            await run
    assert len(here.api.requests) == asked
    assert (await told(here.database)).walks == [FIRST]
    await converges(here)


async def test_a_run_whose_beginning_went_unheard_is_abandoned_by_the_next(
    here: Site, database_dsn: str
) -> None:
    async with proxied(here, database_dsn) as (there, traffic):
        await store_and_change(there)
        asked = len(here.api.requests)
        lost = lose_answer_to_commit(traffic)
        with pytest.raises(DatabaseUnreachable):
            await there.run()
        assert (len(lost), len(here.api.requests)) == (1, asked)
        await converges(there)
        walks = (await told(there.database)).walks
        assert walks[1] == ("abandoned", None, 0, 0, 0, "abandoned")
        assert [walk[-1] for walk in walks] == ["succeeded", "abandoned", "succeeded", "succeeded"]


@pytest.mark.parametrize("which", [POOL, ALL], ids=["pool", "all"])
async def test_a_run_whose_end_is_lost_is_ended_all_the_same(
    here: Site, database_dsn: str, which: str
) -> None:
    await store_and_change(here)
    async with held_up(here, database_dsn, "SELECT FROM sync_runs FOR UPDATE") as held:
        await terminate(held.rival, which)
    assert held.run.result().status == "succeeded"
    assert await told(here.database) == STORED


async def test_a_lock_is_taken_on_a_new_connection_where_the_old_one_is_lost(
    here: Site, database_dsn: str
) -> None:
    here.add("first", 3)
    here.add("second", 3)

    async def end_locks(_nth: int, _seen: object) -> None:
        async with session(database_dsn) as rival:
            assert await terminate(rival, LOCKS) == 1

    here.simulated["first"].script = end_locks
    result = await here.run(replace(SETTINGS, concurrent_accounts=1))
    assert [record.status for record in result.records] == ["complete"] * 2
    run = await here.row("SELECT status, accounts_complete FROM sync_runs")
    assert list(run.values()) == ["succeeded", 2]
