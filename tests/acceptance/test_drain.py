import asyncio
import fcntl
import signal
from collections.abc import Awaitable, Callable
from urllib.parse import unquote

import asyncpg
import pytest

from syncer.demo.faults import Hang, Throttled
from tests.acceptance.program import Program


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
            await connection.execute("LOCK TABLE invoices IN ACCESS EXCLUSIVE MODE")
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
        await connection.execute("LOCK TABLE invoices IN ACCESS EXCLUSIVE MODE")
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
    syncer: Program, number: signal.Signals
) -> None:
    account = syncer.add("production", 3)
    data_dir = syncer.directory / ".syncer" / "postgres"
    environment = {
        "CLOUDFLARE_API_TOKEN": "token-of-production",
        "CLOUDFLARE_ACCOUNT_ID": account.id,
        "SYNCER_CLOUDFLARE__BASE_URL": syncer.api.base_url,
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
    syncer.add("production", 3)
    loop = asyncio.get_running_loop()
    path = unquote(syncer.dsn.partition("host=")[2].partition("&")[0])
    pumps: list[asyncio.Task[None]] = []
    writers: list[asyncio.StreamWriter] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(f"{path}/.s.PGSQL.5432")
        writers.extend((writer, up_writer))
        pumps.append(loop.create_task(pump(reader, up_writer)))
        pumps.append(loop.create_task(pump(up_reader, writer)))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    name = syncer.dsn.partition("?")[0].rpartition("/")[2]
    syncer.settings["database"] = {"url": f"postgresql://postgres@127.0.0.1:{port}/{name}"}
    async with syncer.running("run") as daemon:
        await daemon.event("run.finished")
        for task in pumps:
            task.cancel()
        _, took_s = await daemon.stop(signal.SIGTERM)
    assert took_s < 10
    await asyncio.gather(*pumps, return_exceptions=True)
    for writer in writers:
        writer.transport.abort()
    await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)
    server.close()
    await server.wait_closed()
