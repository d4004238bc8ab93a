"""The installed program as a process of its own, against a simulated API and a real database."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from syncer.demo.account import SimulatedAccount
from syncer.demo.api import SimulatedApi
from syncer.demo.invoices import make_history

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator

PATIENCE_S = 30.0
# A database that is not there, with a secret that nobody may see.
NOWHERE = "postgresql://nobody:planted-password@127.0.0.1:1/nothing"
Event = dict[str, Any]

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="no /proc, which tells of processes"
)


@dataclass(frozen=True)
class Finished:
    """How a process ended, and what it said."""

    code: int
    stdout: str
    stderr: str

    @property
    def events(self) -> list[Event]:
        return [event_of(line) for line in self.stderr.splitlines()]


def event_of(line: str | bytes) -> Event:
    """Read a line of the log; one that is none is shown."""
    try:
        event: Event = json.loads(line)
    except ValueError:
        raise AssertionError(f"not a line of the log: {line!r}") from None
    return event


async def to_its_end(process: asyncio.subprocess.Process) -> Finished:
    """Wait until it has ended, and end it in any case."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            stdout, stderr = await process.communicate()
    finally:
        await end(process)
    assert process.returncode is not None
    return Finished(process.returncode, stdout.decode(), stderr.decode())


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill it where it has not ended yet."""
    if process.returncode is None:
        process.kill()
        await process.communicate()


class Running:
    """A process whose log is being read."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.events: list[Event] = []

    async def event(self, name: str, **fields: object) -> Event:
        """Read on until an event of this name, with these fields, is in the log."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE_S):
            while line := await self.process.stderr.readline():
                event = event_of(line)
                self.events.append(event)
                if event["event"] == name and fields.items() <= event.items():
                    return event
        raise AssertionError(f"no {name}; the log ended with {self.events[-3:]}")

    async def stop(self, number: signal.Signals) -> tuple[int, float]:
        """Send a signal; the exit code, and the seconds that it took."""
        began = asyncio.get_running_loop().time()
        self.process.send_signal(number)
        async with asyncio.timeout(PATIENCE_S):
            await self.drain()
        return await self.process.wait(), asyncio.get_running_loop().time() - began

    async def drain(self) -> None:
        """Read the log to its end."""
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            self.events.append(event_of(line))

    @property
    def names(self) -> list[str]:
        return [event["event"] for event in self.events]


@dataclass
class Program:
    """A configuration in a directory, and ways to run `syncer` with it."""

    directory: Path
    api: SimulatedApi
    dsn: str
    accounts: dict[str, SimulatedAccount] = field(default_factory=dict)
    settings: dict[str, dict[str, object]] = field(default_factory=dict)

    def add(self, name: str, invoices: int) -> SimulatedAccount:
        account_id = f"{len(self.accounts) + 1:032x}"
        login = f"token-of-{name}"
        account = SimulatedAccount(account_id, {login}, invoices=make_history(name, invoices))
        self.api.accounts[account_id] = self.accounts[name] = account
        return account

    @property
    def config(self) -> Path:
        """The configuration file, written anew."""
        sections: dict[str, dict[str, object]] = {
            "schedule": {} if "cron" in self.settings.get("schedule", {}) else {"every": "1h"},
            "cloudflare": {"base_url": self.api.base_url, "max_attempts": 2},
            "database": {"url": self.dsn},
            "health": {"listen": ""},
        }
        for name, values in self.settings.items():
            sections[name] = sections.get(name, {}) | values
        lines = []
        for name, values in sections.items():
            lines.append(f"[{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        for name, account in self.accounts.items():
            lines += ["[[accounts]]", f'id = "{account.id}"', f'name = "{name}"']
            lines.append(f'api_token = "token-of-{name}"')
        path = self.directory / "config.toml"
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o600)
        return path

    async def run(self, *arguments: str, **environment: str) -> Finished:
        """Run a command with the configuration to its end."""
        return await self.run_bare("--config", str(self.config), *arguments, **environment)

    async def run_bare(self, *arguments: str, **environment: str) -> Finished:
        """Run a command as it is."""
        return await to_its_end(await self._start(*arguments, **environment))

    @asynccontextmanager
    async def running(self, *arguments: str, **environment: str) -> AsyncIterator[Running]:
        """Start a command with the configuration, and end it in any case."""
        config = ("--config", str(self.config))
        async with self.running_bare(*config, *arguments, **environment) as process:
            yield process

    @asynccontextmanager
    async def running_bare(self, *arguments: str, **environment: str) -> AsyncIterator[Running]:
        """Start a command as it is, and end it in any case."""
        process = await self._start(*arguments, **environment)
        try:
            yield Running(process)
        finally:
            await end(process)

    async def _start(self, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SYNCER_", "CLOUDFLARE_"))
        }
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "syncer",
            *arguments,
            cwd=self.directory,
            env=clean | environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )


@asynccontextmanager
async def program(directory: Path, dsn: str) -> AsyncIterator[Program]:
    async with SimulatedApi() as api:
        yield Program(directory, api, dsn)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
