"""How soon the program is there, and what the daemon costs while nothing is due."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks import clients, phases
from benchmarks.processes import Failed, cpu_s, end, free_port, memory_kb, run_measured, start
from benchmarks.results import Idle, Start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.measure import Bench

DATABASE: Final = "daemon"
_POLL_S: Final = 0.05
_PATIENCE_S: Final = 600
_STOPS_WITHIN_S: Final = 30


def measure_start(bench: Bench, *, tries: int) -> Start:
    """Measure an empty Python, `syncer --help`, and the ways to a first request in turn."""
    dsn = bench.postgres.create(DATABASE, template=phases.TEMPLATE)
    found = Start([], [], [], [], [])
    for run in range(1, tries + 1):
        client = clients.syncer(bench.api, dsn, bench.directory, clients.Setting())
        environ = client.full_environ()
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
        found.daemon_first_request_s.append(_first_request_of_daemon_s(bench, dsn))
    return found


def measure_idle(bench: Bench, *, seconds: float) -> Idle:
    """Have the daemon sync once, and look at it before and after so many seconds."""
    postgres = bench.postgres
    dsn = postgres.create(DATABASE, template=phases.TEMPLATE)
    with _synced_daemon(bench, dsn) as process:
        postgres.settle(DATABASE)
        wal = postgres.wal_position()
        before, cpu = memory_kb(process.pid, "VmRSS"), cpu_s(process.pid)
        postgres_cpu = postgres.cpu_s()
        time.sleep(seconds)
        return Idle(
            seconds=seconds,
            accounts=bench.api.accounts,
            invoices=bench.api.invoices,
            rss_before_kb=before,
            rss_after_kb=memory_kb(process.pid, "VmRSS"),
            cpu_s=cpu_s(process.pid) - cpu,
            postgres_cpu_s=postgres.cpu_s() - postgres_cpu,
            wal_bytes=postgres.wal_position() - wal,
        )


def _first_request_of_daemon_s(bench: Bench, dsn: str) -> float:
    bench.postgres.settle(DATABASE)
    bench.api.tell("reset")
    started_at = time.monotonic()
    with _synced_daemon(bench, dsn):
        first: float = bench.api.tell("state")["first_request_at"]
    return first - started_at


@contextmanager
def _synced_daemon(bench: Bench, dsn: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start the daemon, give it once it has synced, and have it stop by itself."""
    log = bench.directory / "daemon.log"
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
        yield process
        process.send_signal(signal.SIGTERM)
        if code := process.wait(_STOPS_WITHIN_S):
            raise Failed(f"the daemon ended with {code}")
    finally:
        end(process)
    bench.postgres.wait_until_left(DATABASE)


def _wait_for(process: subprocess.Popen[bytes], log: Path, event: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        if f'"event": "{event}"' in log.read_text():
            return
        time.sleep(_POLL_S)
    raise Failed(f"the daemon did not come to {event}: {log.read_text()[-500:]}")
