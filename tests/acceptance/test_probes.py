"""Probes of a daemon whose database is busy, slow, or gone for a while."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.acceptance.program import free_port
from tests.pgbouncer import needs_pgbouncer, pgbouncer
from tests.scrapes import scrape
from tests.sessions import ALL, WAITING, holding, session, terminate, until

if TYPE_CHECKING:
    from tests.acceptance.program import Program

CONNECTIONS = f"SELECT count(*) FROM pg_stat_activity WHERE {ALL}"
POOL_SIZE = 4


@pytest.fixture
def port(syncer: Program) -> int:
    number = free_port()
    syncer.settings["health"] = {"listen": f"127.0.0.1:{number}"}
    return number


async def readyz(port: int) -> tuple[int, dict[str, Any]]:
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://127.0.0.1:{port}/readyz") as response,
    ):
        return response.status, await response.json()


async def test_a_sync_that_uses_every_connection_makes_nothing_unready(
    syncer: Program, port: int
) -> None:
    for number in range(POOL_SIZE + 2):
        syncer.add(f"account-{number}", 3)
    async with session(syncer.dsn) as admin:
        async with (
            holding(syncer.dsn, "LOCK TABLE invoices IN EXCLUSIVE MODE") as rival,
            syncer.running("run") as daemon,
        ):
            await until(admin, WAITING, POOL_SIZE)
            asked = [asyncio.create_task(readyz(port)) for _ in range(5)]
            found = await scrape(port)
            answers = [await one for one in asked]
            assert {status for status, _ in answers} == {200}
            assert found.value("syncer_database_up") == 1
            # Those of the pool, the one of the locks, and one for all who ask.
            assert await admin.fetchval(CONNECTIONS) == POOL_SIZE + 2
            await rival.execute("ROLLBACK")
            await daemon.event("run.finished", status="succeeded")
            assert (await daemon.stop(signal.SIGTERM))[0] == 0
        await until(admin, CONNECTIONS, 0)


async def test_a_connection_that_was_lost_is_made_anew(syncer: Program, port: int) -> None:
    syncer.add("production", 3)
    async with session(syncer.dsn) as admin, syncer.running("run") as daemon:
        await daemon.event("run.finished")
        for _ in range(2):
            assert (await readyz(port))[0] == 200
            assert await terminate(admin, ALL) >= 1
        assert (await readyz(port))[0] == 200
        await until(admin, CONNECTIONS, 1)
        await daemon.stop(signal.SIGTERM)


@pytest.mark.slow
async def test_a_look_that_waits_for_a_lock_leaves_no_session_behind(
    syncer: Program, port: int
) -> None:
    syncer.add("production", 3)
    async with session(syncer.dsn) as admin, syncer.running("run") as daemon:
        await daemon.event("run.finished")
        async with holding(syncer.dsn, "LOCK TABLE sync_state IN ACCESS EXCLUSIVE MODE"):
            for _ in range(3):
                status, answer = await readyz(port)
                assert (status, answer["ready"]) == (503, False)
            # Whoever waited in vain has gone by itself.
            await until(admin, WAITING, 0)
        assert (await readyz(port))[0] == 200
        _, took_s = await daemon.stop(signal.SIGTERM)
    assert took_s < 5


@needs_pgbouncer
@pytest.mark.slow
@pytest.mark.parametrize("pool_mode", ["session", "transaction"])
async def test_behind_a_pooler_too(syncer: Program, port: int, pool_mode: str) -> None:
    syncer.add("production", 3)
    real = syncer.dsn
    with pgbouncer(real, pool_mode=pool_mode) as syncer.dsn:
        async with session(real) as admin, syncer.running("run") as daemon:
            await daemon.event("run.finished", status="succeeded")
            assert (await readyz(port))[0] == 200
            assert await terminate(admin, ALL) >= 1
            assert (await readyz(port))[0] == 200
            assert (await scrape(port)).value("syncer_database_up") == 1
            assert (await daemon.stop(signal.SIGTERM))[0] == 0
