"""What a daemon tells Prometheus of what it did and of how things stand."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import aiohttp
import asyncpg
import pytest

from syncer.demo.faults import Answer
from tests.acceptance.program import Program, free_port
from tests.proxies.frames import PostgresFrames
from tests.proxies.proxy import Message, Passage, Proxy, Traffic
from tests.proxies.servers import open_postgres, through
from tests.scrapes import Scrape, scrape

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from syncer.demo.account import SeenRequest

FINE = "1".zfill(32)
BARRED = "2".zfill(32)


@pytest.fixture
def port(syncer: Program) -> int:
    number = free_port()
    syncer.settings["health"] = {"listen": f"127.0.0.1:{number}"}
    return number


async def test_it_counts_what_a_run_did_and_shows_how_accounts_stand(
    syncer: Program, port: int
) -> None:
    account = syncer.add("production", 120)
    syncer.add("barred", 3).logins = {"another"}

    def once_too_busy(nth: int, _seen: SeenRequest) -> Answer | None:
        return Answer(503, b"") if nth == 1 else None

    account.script = once_too_busy
    began = time.time()
    async with syncer.running("run") as daemon:
        await daemon.event("run.finished")
        found = await scrape(port)
        assert (await daemon.stop(signal.SIGTERM))[0] == 0
    fine = {"account_id": FINE, "account": "production"}
    barred = {"account_id": BARRED, "account": "barred"}
    assert found.value("syncer_runs_total", trigger="start", status="partial") == 1
    assert found.value("syncer_runs_total", trigger="schedule", status="succeeded") == 0
    assert found.value("syncer_run_in_progress") == 0
    assert found.value("syncer_run_duration_seconds_count") == 1
    assert found.value("syncer_account_sync_duration_seconds_count") == 2
    syncs = "syncer_account_syncs_total"
    assert found.value(syncs, **fine, status="complete", reason="none") == 1
    assert found.value(syncs, **barred, status="failed", reason="access_denied") == 1
    assert found.value(syncs, **barred, status="complete", reason="none") == 0
    requests = found.named("syncer_cloudflare_requests_total")
    assert sum(requests.values()) == len(syncer.api.requests)
    assert found.value("syncer_cloudflare_requests_total", status="5xx") == 1
    assert found.value("syncer_cloudflare_requests_total", status="4xx") == 1
    assert found.value("syncer_cloudflare_retries_total", reason="unavailable") == 1
    assert found.value("syncer_cloudflare_throttle_waits_total") == 0
    assert found.value("syncer_invoices_total", change="inserted") == 120
    assert found.value("syncer_invoices_total", change="rejected") == 0
    assert found.value("syncer_database_up") == 1
    completed = found.value("syncer_account_last_complete_timestamp_seconds", **fine)
    assert completed is not None
    assert began - 5 < completed < time.time() + 5
    assert found.value("syncer_account_last_complete_timestamp_seconds", **barred) == 0
    assert found.value("syncer_account_stale", **fine) == 0
    assert found.value("syncer_account_stale", **barred) == 1
    assert found.value("syncer_account_consecutive_failures", **barred) == 1
    assert found.named("syncer_account_last_error_info") == {
        frozenset((barred | {"reason": "access_denied"}).items()): 1
    }
    next_run = found.value("syncer_next_run_timestamp_seconds")
    assert next_run is not None
    assert next_run > time.time()
    assert "token-of" not in found.text


@pytest.mark.slow
async def test_waits_for_the_budget_are_counted(syncer: Program, port: int) -> None:
    syncer.add("production", 120)
    syncer.settings["cloudflare.rate_limit"] = {"requests": 2, "per": "1s"}
    async with syncer.running("run") as daemon:
        await daemon.event("run.finished", status="succeeded")
        found = await scrape(port)
        await daemon.stop(signal.SIGTERM)
    waits = found.value("syncer_cloudflare_throttle_waits_total")
    seconds = found.value("syncer_cloudflare_throttle_wait_seconds_total")
    assert waits is not None
    assert seconds is not None
    assert waits >= 1
    # A wait lasts a window at most; half a second more for a machine that is busy.
    assert 0.5 < seconds < 1.5 * waits


async def test_without_its_database_it_tells_what_it_did_and_that_it_is_away(
    syncer: Program, port: int
) -> None:
    syncer.add("production", 3)
    connection = await asyncpg.connect(syncer.dsn)
    async with syncer.running("run") as daemon:
        await daemon.event("run.finished")
        await connection.execute("UPDATE alembic_version SET version_num = '9999'")
        found = await scrape(port)
        await daemon.stop(signal.SIGTERM)
    await connection.close()
    assert found.value("syncer_database_up") == 0
    assert found.named("syncer_account_stale") == {}
    assert found.value("syncer_invoices_total", change="inserted") == 3


@pytest.mark.slow
async def test_a_database_that_hangs_keeps_nobody_waiting(syncer: Program, port: int) -> None:
    syncer.add("production", 3)
    traffic = Traffic()

    async def never(_passage: Passage) -> None:
        """Lose the message, and say nothing."""

    def swallow(_message: Message) -> Callable[[Passage], Awaitable[None]]:
        return never

    real = syncer.dsn
    async with Proxy("db", traffic, PostgresFrames, lambda: open_postgres(real)) as proxy:
        syncer.dsn = through(real, proxy.port)
        async with syncer.running("run") as daemon, aiohttp.ClientSession() as session:
            await daemon.event("run.finished", status="succeeded")
            traffic.watch = swallow
            for _ in range(2):
                began = time.monotonic()
                found = await scrape(port)
                assert found.value("syncer_database_up") == 0
                async with session.get(f"http://127.0.0.1:{port}/readyz") as response:
                    assert response.status == 503
                    assert "did not answer within 3 s" in (await response.json())["error"]
                assert time.monotonic() - began < 8
            async with session.get(f"http://127.0.0.1:{port}/healthz") as response:
                assert response.status == 200
            traffic.watch = lambda _message: None
            found = await scrape(port)
            assert found.value("syncer_database_up") == 1
            await daemon.stop(signal.SIGTERM)


async def test_its_names_please_promtool(syncer: Program, port: int) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool: install Debian's package prometheus")
    syncer.add("production", 3)
    async with syncer.running("run") as daemon:
        await daemon.event("run.finished")
        found = await scrape(port)
        await daemon.stop(signal.SIGTERM)
    assert lint(promtool, found) == (0, "")


def lint(promtool: str, found: Scrape) -> tuple[int, str]:
    """The exit code, and every complaint."""
    ended = subprocess.run(
        [promtool, "check", "metrics"],
        input=found.text,
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr
