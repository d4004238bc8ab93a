"""Everything that one run of the benchmark found, as it is kept in JSON."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from benchmarks.measure import Measurement  # noqa: TC001 - msgspec reads the types
from benchmarks.versions import Peer  # noqa: TC001 - the same
from syncer import __version__

if TYPE_CHECKING:
    from benchmarks.postgres import Postgres


@dataclass(frozen=True)
class Machine:
    """What it ran on, as far as it matters."""

    cpu: str
    cores: int
    memory_mb: int
    kernel: str
    python: str
    file_system: str
    postgres: dict[str, str]


@dataclass(frozen=True)
class Waited:
    """A sync that had to wait, and the least time that this takes.

    Under a limit, that is with as much of it at once as there may be, and `at_rate_s` evenly.
    """

    what: str
    bound_s: float
    measured: Measurement
    at_rate_s: float | None = None


@dataclass(frozen=True)
class Start:
    """Seconds until something is there, of each try."""

    python_s: list[float]
    help_s: list[float]
    help_cpu_s: list[float]
    first_request_s: list[float]
    daemon_first_request_s: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Idle:
    """What the daemon costs while nothing is due."""

    seconds: float
    accounts: int
    invoices: int
    rss_before_kb: int
    rss_after_kb: int
    cpu_s: float
    postgres_cpu_s: float
    wal_bytes: int


@dataclass
class Results:
    """All of it; what was not measured is empty."""

    machine: Machine
    measured_at: str
    version: str = __version__
    peers: dict[str, Peer] = field(default_factory=dict)
    sync: list[Measurement] = field(default_factory=list)
    latency: list[Waited] = field(default_factory=list)
    limit: list[Waited] = field(default_factory=list)
    page_sizes: list[tuple[str, Measurement]] = field(default_factory=list)
    growth: list[Measurement] = field(default_factory=list)
    start: Start | None = None
    idle: Idle | None = None


def look_at_machine(postgres: Postgres) -> Machine:
    """Find out what this runs on."""
    cpu = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return Machine(
        cpu=cpu[1] if cpu else platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_mb=int(memory[1]) // 1024 if memory else 0,
        kernel=platform.release(),
        python=platform.python_version(),
        file_system=_file_system_of(postgres.home),
        postgres=postgres.settings(),
    )


def new_results(postgres: Postgres) -> Results:
    """Begin with the machine and the time."""
    return Results(look_at_machine(postgres), datetime.now(UTC).isoformat(timespec="seconds"))


def read_results(file: Path) -> Results:
    """Read what an earlier run has left."""
    return msgspec.json.decode(file.read_bytes(), type=Results)


def write_results(results: Results, file: Path) -> None:
    """Keep it for the document; whatever ends this, the file is whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_suffix(".half")
    half.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    half.replace(file)


def _file_system_of(path: Path) -> str:
    command = ["/bin/df", "--output=fstype", str(path)]
    found = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603
    return found.stdout.decode().split()[-1]
