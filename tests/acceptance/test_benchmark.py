"""The benchmark's quick variant: what it counts, never how long it took."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.phases import FIRST, NOTHING, SOME
from benchmarks.processes import tree_of
from benchmarks.results import read_results
from tests.acceptance.program import end, needs_proc

if TYPE_CHECKING:
    from benchmarks.measure import Measurement

pytestmark = [pytest.mark.slow, needs_proc]

PATIENCE_S = 120
ACCOUNTS = 6
ROWS = 6 * 220
REQUESTS = 6 * 5
CHANGED = 13


async def start_benchmark(results: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks", "--quick", "--json", str(results)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_the_quick_benchmark_counts_what_a_sync_may_cost(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    process = await start_benchmark(file)
    async with asyncio.timeout(PATIENCE_S):
        stdout, stderr = await process.communicate()
    assert process.returncode == 0, stderr.decode()
    results = read_results(file)
    sync = {(one.client, one.phase): one for one in results.sync}

    assert work_of(sync["syncer", FIRST]) == (REQUESTS, ROWS, 0, 0)
    assert work_of(sync["syncer", NOTHING]) == (REQUESTS, 0, 0, ROWS)
    assert work_of(sync["syncer", SOME]) == (REQUESTS, 0, CHANGED, ROWS - CHANGED)
    for phase in (FIRST, NOTHING, SOME):
        assert sync["receiving only", phase].requests == REQUESTS
        assert sync["syncer", phase].counts["accounts_complete"] == ACCOUNTS
    # A sync in which nothing changed, although every link did, writes what it was and no invoice.
    unchanged = sync["syncer", NOTHING]
    assert "invoices" not in unchanged.dead_rows
    assert unchanged.wal_bytes < 12_000 * ACCOUNTS < sync["COPY only", FIRST].wal_bytes
    assert sync["syncer", SOME].dead_rows.get("invoices", 0) <= CHANGED

    sizes = {size: one.requests for size, one in results.page_sizes}
    assert sizes == {"auto": ACCOUNTS}
    shapes = [(one.accounts, one.invoices, one.phase) for one in results.growth]
    assert shapes == [(2, 10, FIRST), (2, 10, NOTHING), (3, 10, FIRST), (3, 10, NOTHING)]

    waited = [one.measured for one in (*results.latency, *results.limit)]
    everything = [*results.sync, *waited]
    assert [one.throttled for one in everything] == [0] * len(everything)
    (limited,) = results.limit
    assert (limited.bound_s, limited.at_rate_s) == (1, 1.25)
    assert limited.measured.requests == 25
    assert results.start is not None
    assert len(results.start.first_request_s) == 1
    assert len(results.start.daemon_first_request_s) == 1
    assert results.idle is not None
    assert results.idle.accounts == ACCOUNTS
    assert b"**Nothing changed**" in stdout
    assert b"| 2 of 10 | 3 of 10 | first load |" in stdout


def work_of(measured: Measurement) -> tuple[int, int, int, int]:
    counts = measured.counts
    return measured.requests, counts["inserted"], counts["updated"], counts["unchanged"]


async def test_an_interrupted_benchmark_leaves_nothing_running(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    process = await start_benchmark(file)
    assert process.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            # The first measurement is done, and the servers are up.
            assert b"receiving only" in await process.stderr.readline()
            started = set(tree_of(process.pid))
            process.send_signal(signal.SIGINT)
            _, stderr = await process.communicate()
    finally:
        await end(process)
    kept = tmp_path / "results.unfinished.json"
    assert stderr.endswith(f"interrupted; what was measured is in {kept}\n".encode())
    assert read_results(kept).sync[0].client == "receiving only"
    assert b"Traceback" not in stderr
    assert process.returncode == 1
    assert len(started) > 3
    assert [pid for pid in started if Path("/proc", str(pid)).exists()] == []
    # A run that is not whole takes the place of none that is.
    assert not file.exists()
