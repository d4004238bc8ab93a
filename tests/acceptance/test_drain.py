import asyncio
import fcntl
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from syncer.demo.faults import Hang, Throttled
from tests.acceptance.program import Program
from tests.proxies.frames import PostgresFrames
from tests.proxies.proxy import Passage, Proxy, Traffic
from tests.proxies.servers import open_postgres, through


async def hang(syncer: Program) -> None:
    syncer.accounts["production"].script = lambda nth, _seen: Hang(None) if nth > 1 else None


async def throttle(syncer: Program) -> None:
    syncer.accounts["production"].script = lambda nth, _seen: Throttled(300) if nth > 1 else None


async def nothing(_syncer: Program) -> None:
    """Let it wait for the next tick, in an hour."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("trouble", [hang, throttle, nothing])
async def test_it_drains_whatever_it_is_waiting_for(
    syncer: Program, number: signal.Signals, trouble: Callable[[Program], Awaitable[None]]
) -> None:
    syncer.add("production", 120)
    await trouble(syncer)
    async with syncer.running("run") as daemon:
        await syncer.api.wait_for_requests(2 if trouble is not nothing else 3)
        if trouble is throttle:
            await daemon.event("request.retry_scheduled")
        if trouble is nothing:
            await daemon.event("run.finished")
        code, took_s = await daemon.stop(number)
    assert code == 0
    assert took_s < 10
    connection = await asyncpg.connect(syncer.dsn)
    stored = await connection.fetchval("SELECT count(*) FROM invoices")
    reason = await connection.fetchval("SELECT reason FROM account_syncs")
    await connection.close()
    assert (stored, reason) == ((120, None) if trouble is nothing else (50, "interrupted"))


@pytest.mark.slow
async def test_it_drains_even_when_the_database_does_not_answer(syncer: Program) -> None:
    syncer.add("production", 3)
    connection = await asyncpg.connect(syncer.dsn)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE invoices IN EXCLUSIVE MODE")
            async with syncer.running("run") as daemon:
                await syncer.api.wait_for_requests(1)
                code, took_s = await daemon.stop(signal.SIGTERM)
        assert code == 0
        assert took_s < 10
    finally:
        await connection.close()


@pytest.mark.slow
async def test_a_second_signal_does_not_wait(syncer: Program) -> None:
    syncer.add("production", 3)
    connection = await asyncpg.connect(syncer.dsn)
    async with connection.transaction():
        await connection.execute("LOCK TABLE invoices IN EXCLUSIVE MODE")
        async with syncer.running("run") as daemon:
            await syncer.api.wait_for_requests(1)
            daemon.process.send_signal(signal.SIGTERM)
            await daemon.event("daemon.stopping")
            code, took_s = await daemon.stop(signal.SIGTERM)
            assert code == 0
            assert took_s < 5
            assert "run.cut_off" in daemon.names
    await connection.close()


@pytest.mark.slow
async def test_it_stops_while_it_waits_for_another_process_that_migrates(
    fresh_syncer: Program,
) -> None:
    fresh_syncer.add("production", 3)
    rival = await asyncpg.connect(fresh_syncer.dsn)
    await rival.execute(
        "SELECT pg_advisory_lock(hashtextextended(format('syncer:migrate:%I', 'public'), 0))"
    )
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    async with fresh_syncer.running("run") as daemon, asyncio.timeout(30):
        while not await rival.fetchval(waiting):
            await rival.execute("SELECT pg_sleep(0.05)")
        code, took_s = await daemon.stop(signal.SIGTERM)
    await rival.close()
    assert (code, daemon.names) == (0, ["daemon.stopping", "daemon.stopped"])
    assert took_s < 10


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_while_the_embedded_server_starts_leaves_nothing_running(
    syncer: Program, place: Path, number: signal.Signals
) -> None:
    account = syncer.add("production", 3)
    data_dir = place / "postgres"
    environment = {
        "CLOUDFLARE_API_TOKEN": "token-of-production",
        "CLOUDFLARE_ACCOUNT_ID": account.id,
        "SYNCER_CLOUDFLARE__BASE_URL": syncer.api.base_url,
        "SYNCER_DATABASE__DATA_DIR": str(data_dir),
        "SYNCER_HEALTH__LISTEN": "",
    }
    async with syncer.running_bare("run", **environment) as daemon, asyncio.timeout(30):
        while not (data_dir / "server.lock").exists():
            assert daemon.process.returncode is None
            await asyncio.sleep(0)
        code, took_s = await daemon.stop(number)
    assert code == 0
    assert took_s < 10
    # Whoever takes the lock alone knows that no server holds it.
    with (data_dir / "server.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.slow
async def test_it_drains_when_the_network_swallows_the_database(syncer: Program) -> None:
    async def swallow(_passage: Passage) -> None:
        """Neither forward it nor end the connection."""

    syncer.add("production", 3)
    traffic = Traffic()
    async with Proxy("db", traffic, PostgresFrames, lambda: open_postgres(syncer.dsn)) as wire:
        syncer.settings["database"] = {"url": through(syncer.dsn, wire.port)}
        async with syncer.running("run") as daemon:
            await daemon.event("run.finished")
            traffic.watch = lambda _message: swallow
            _, took_s = await daemon.stop(signal.SIGTERM)
    assert took_s < 10
