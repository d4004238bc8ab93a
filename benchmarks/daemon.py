"""How soon the program is there, and what the daemon costs while nothing is due."""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from benchmarks import clients, phases
from benchmarks.processes import Failed, cpu_s, end, free_port, memory_kb, run_measured, start
from benchmarks.results import Idle, Start

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from benchmarks.measure import Bench

DATABASE: Final = "daemon"
_POLL_S: Final = 0.05
_PATIENCE_S: Final = 600
_STOPS_WITHIN_S: Final = 30


def measure_start(bench: Bench, *, tries: int) -> Start:
    """Measure an empty Python, `syncer --help`, and the way to a sync's first request in turn."""
    dsn = bench.postgres.create(DATABASE, template=phases.TEMPLATE)
    client = clients.syncer(bench.api, dsn, bench.directory, clients.Setting())
    environ = client.full_environ()
    found = Start([], [], [], [])
    for run in range(1, tries + 1):
        empty = (sys.executable, "-c", "pass")
        cost = run_measured(empty, environ=environ, directory=bench.directory)
        found.python_s.append(cost.wall_s)
        asked = (clients.SYNCER, "--help")
        cost = run_measured(asked, environ=environ, directory=bench.directory)
        found.help_s.append(cost.wall_s)
        found.help_cpu_s.append(cost.cpu_s)
        measured = bench.measure(client, phases.NOTHING, run=run, database=DATABASE)
        if measured.first_request_s is None:
            raise Failed("syncer asked for nothing")
        found.first_request_s.append(measured.first_request_s)
    return found


def measure_idle(bench: Bench, *, seconds: float) -> Idle:
    """Start the daemon, have it sync once, and look at it before and after so many seconds."""
    postgres, log = bench.postgres, bench.directory / "daemon.log"
    dsn = postgres.create(DATABASE, template=phases.TEMPLATE)
    setting = clients.Setting(listen=f"127.0.0.1:{free_port()}")
    client = clients.syncer(bench.api, dsn, bench.directory, setting, command="run")
    with log.open("wb") as out:
        process = start(
            client.command,
            environ=client.full_environ(),
            stdout=out.fileno(),
            stderr=out.fileno(),
        )
    try:
        _wait_for(process, log, "run.finished")
        postgres.settle(DATABASE)
        wal = postgres.wal_position()
        before, cpu = memory_kb(process.pid, "VmRSS"), cpu_s(process.pid)
        postgres_cpu = postgres.cpu_s()
        time.sleep(seconds)
        idle = Idle(
            seconds=seconds,
            accounts=bench.api.accounts,
            invoices=bench.api.invoices,
            rss_before_kb=before,
            rss_after_kb=memory_kb(process.pid, "VmRSS"),
            cpu_s=cpu_s(process.pid) - cpu,
            postgres_cpu_s=postgres.cpu_s() - postgres_cpu,
            wal_bytes=postgres.wal_position() - wal,
        )
        process.send_signal(signal.SIGTERM)
        if code := process.wait(_STOPS_WITHIN_S):
            raise Failed(f"the daemon ended with {code}")
    finally:
        end(process)
    postgres.wait_until_left(DATABASE)
    return idle


def _wait_for(process: subprocess.Popen[bytes], log: Path, event: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        if f'"event": "{event}"' in log.read_text():
            return
        time.sleep(_POLL_S)
    raise Failed(f"the daemon did not come to {event}: {log.read_text()[-500:]}")
