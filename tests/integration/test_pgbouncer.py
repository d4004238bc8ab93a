"""PgBouncer between a run and PostgreSQL."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from syncer.errors import DatabaseUnreachable
from syncer.store.engine import Database
from syncer.store.locks import Locks
from syncer.store.migrate import upgrade
from tests.acceptance.program import free_port
from tests.integration.running import of
from tests.integration.storing import (
    AT_THE_JOURNAL,
    STORED,
    converges,
    held_up,
    reaching,
    store_and_change,
    told,
)
from tests.pgbouncer import ENOUGH, needs_pgbouncer, pgbouncer
from tests.sessions import ADVISORY_LOCKS, ALL, LOCKS, POOL, session, terminate, until

if TYPE_CHECKING:
    from tests.integration.running import Site

pytestmark = needs_pgbouncer


@ENOUGH
async def test_few_server_connections_do_for_a_run_and_keep_no_lock(
    here: Site, database_dsn: str, pool_mode: str, pool_size: int
) -> None:
    for name in "abcdef":
        here.add(name, 60)
    with pgbouncer(database_dsn, pool_mode=pool_mode, pool_size=pool_size) as dsn:
        async with reaching(here, Database(dsn)) as there, session(database_dsn) as admin:
            first, second = await there.run(), await there.run()
            await until(admin, ADVISORY_LOCKS, 0)
            # The server's sessions are still there; it is the program's that are gone.
            assert await admin.fetchval(f"SELECT count(*) FROM pg_stat_activity WHERE {ALL}") > 0
    assert {record.inserted for record in first.records} == {60}
    assert {record.unchanged for record in second.records} == {60}
    assert (first.status, second.status) == ("succeeded", "succeeded")


@ENOUGH
@pytest.mark.parametrize("which", [POOL, LOCKS, ALL], ids=["pool", "locks", "all"])
async def test_server_connections_that_are_ended_while_storing_cost_another_try(
    here: Site, database_dsn: str, pool_mode: str, pool_size: int, which: str
) -> None:
    with pgbouncer(database_dsn, pool_mode=pool_mode, pool_size=pool_size) as dsn:
        async with reaching(here, Database(dsn)) as there:
            await store_and_change(there)
            async with held_up(there, database_dsn, AT_THE_JOURNAL) as held:
                assert await terminate(held.rival, which) >= 1
            assert of(held.run.result(), "production").status == "complete"
            assert await told(there.database) == STORED
            await converges(there)


async def test_a_pooler_that_restarts_while_an_account_is_stored_costs_another_try(
    here: Site, database_dsn: str
) -> None:
    port = free_port()
    with ExitStack() as second, ExitStack() as first:
        dsn = first.enter_context(pgbouncer(database_dsn, pool_mode="transaction", port=port))
        async with reaching(here, Database(dsn)) as there:
            await store_and_change(there)
            async with held_up(there, database_dsn, AT_THE_JOURNAL) as held:
                first.close()
                second.enter_context(pgbouncer(database_dsn, pool_mode="transaction", port=port))
            assert of(held.run.result(), "production").status == "complete"
            assert await told(there.database) == STORED
            await converges(there)


async def test_statement_mode_is_refused_with_what_to_set(here: Site, database_dsn: str) -> None:
    here.add("production", 3)
    with pgbouncer(database_dsn, pool_mode="statement") as dsn:
        async with reaching(here, Database(dsn)) as there:
            for attempt in (
                there.run(),
                upgrade(there.database),
                Locks(there.database).__aenter__(),
            ):
                with pytest.raises(DatabaseUnreachable) as caught:
                    await attempt
                assert str(caught.value).endswith(
                    "transaction blocks not allowed in statement pooling mode;"
                    " set pool_mode = transaction (or session) in PgBouncer"
                )
    assert here.api.requests == []
