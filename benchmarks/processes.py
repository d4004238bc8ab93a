"""What a process and all that it starts cost, as Linux counts it."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_LOOK_EVERY_S: Final = 0.02
_PATIENCE_S: Final = 3600
# Of /proc/PID/stat behind the name: utime, stime, and both of the children that were waited for.
_TIMES: Final = slice(11, 15)


class Failed(Exception):
    """A process ended otherwise than it should, or stored something else."""


@dataclass(frozen=True)
class Cost:
    """Seconds from start to end, CPU of the process and its children, and their peak memory.

    Where there are several processes, their peaks are added up, whenever they were.
    """

    started_at: float
    wall_s: float
    cpu_s: float
    peak_kb: int


def run_measured(command: Sequence[str], *, environ: Mapping[str, str], directory: Path) -> Cost:
    """Run a command to its end; its output is left in `stdout` and `stderr` of the directory.

    Raises Failed where its exit code is not 0. Whatever ends the waiting ends the process as well.
    """
    with (directory / "stdout").open("wb") as stdout, (directory / "stderr").open("wb") as stderr:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started_at = time.monotonic()
        process = start(command, environ=environ, stdout=stdout.fileno(), stderr=stderr.fileno())
        try:
            with Watch(process.pid) as watch:
                code = process.wait()  # with a timeout it would only look every 50 ms
                wall_s = time.monotonic() - started_at
        finally:
            end(process)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if code != 0:
        last = (directory / "stderr").read_text(errors="replace").splitlines()[-5:]
        raise Failed(f"{' '.join(command[:4])} ended with {code}: {' | '.join(last)}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(started_at, wall_s, cpu_s, watch.peak_kb)


def start(
    command: Sequence[str], *, environ: Mapping[str, str], stdout: int, stderr: int
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own: Ctrl-C is for us, who end it ourselves."""
    return subprocess.Popen(  # noqa: S603 - what this benchmark is there to run
        command,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that `start` has started, and everything in its session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Watch:
    """Looks at a process tree's memory until it is left, and ends what hangs for an hour."""

    def __init__(self, pid: int) -> None:
        self.peak_kb = 0
        self._pid = pid
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()

    def _look(self) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not self._left.wait(_LOOK_EVERY_S):
            if time.monotonic() > deadline:
                os.killpg(self._pid, signal.SIGKILL)
                return
            peak = sum(memory_kb(pid, "VmHWM") for pid in tree_of(self._pid))
            self.peak_kb = max(self.peak_kb, peak)


def tree_of(pid: int) -> Iterator[int]:
    """Give a process and all its descendants that are alive."""
    yield pid
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path("/proc", str(pid), "task").iterdir():
            for child in (task / "children").read_text().split():
                yield from tree_of(int(child))


def cpu_s(pid: int) -> float:
    """Add up the CPU seconds of a process tree, those included that have ended in it."""
    ticks = 0
    for one in tree_of(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = Path("/proc", str(one), "stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[_TIMES]))
    return ticks / _TICKS


def memory_kb(pid: int, name: str) -> int:
    """Read VmHWM (the peak) or VmRSS of a process; 0 where it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path("/proc", str(pid), "status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return 0


def free_port() -> int:
    """Find a TCP port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
