"""The program as a real process, started cheaply: forked from one that has imported it already."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from syncer.cli import main

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

PATIENCE_S = 30.0

_CONTEXT = multiprocessing.get_context("forkserver")
# What the commands import when they run.
_CONTEXT.set_forkserver_preload(
    [
        __name__,
        "alembic.command",
        "asyncpg",
        "sqlalchemy.dialects.postgresql.asyncpg",
        "syncer.app",
        "syncer.cli.schema",
        "syncer.cli.screen",
        "syncer.config",
        "syncer.logs",
    ]
)


def _be_syncer(arguments: list[str], directory: str, log: socket.socket) -> None:
    """Be `syncer` in a process that was just forked."""
    os.chdir(directory)
    for name in list(os.environ):
        if name.startswith(("SYNCER_", "CLOUDFLARE_")):
            del os.environ[name]
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    os.dup2(log.fileno(), sys.stderr.fileno())
    log.close()
    sys.argv = ["syncer", *arguments]
    main()


class SyncerProcess:
    """`syncer` with arguments, from its start to its end: `async with SyncerProcess(...)`."""

    def __init__(self, *arguments: str, directory: Path) -> None:
        self._log, theirs = socket.socketpair()
        self._process = _CONTEXT.Process(
            target=_be_syncer, args=(list(arguments), str(directory), theirs)
        )
        self._process.start()
        theirs.close()
        self.lines: list[str] = []
        self._is_read = False
        self._ended = asyncio.Event()
        self._said = asyncio.Condition()

    async def __aenter__(self) -> Self:
        reader, self._writer = await asyncio.open_connection(sock=self._log)
        self._reading = asyncio.create_task(self._read(reader))
        asyncio.get_running_loop().add_reader(self._process.sentinel, self._ended.set)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if not self._ended.is_set():
                self._process.kill()
            await self.wait()
        finally:
            asyncio.get_running_loop().remove_reader(self._process.sentinel)
            self._reading.cancel()
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()
            self._process.close()

    @property
    def events(self) -> list[dict[str, Any]]:
        """The log so far, without lines that are no events."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    def send(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if not self._ended.is_set() and self._process.pid is not None:
            os.kill(self._process.pid, number)

    async def said(self, event: str) -> None:
        """Return once the event is in the log, or the log has ended."""
        async with self._said:
            await self._said.wait_for(
                lambda: self._is_read or any(one["event"] == event for one in self.events)
            )

    async def wait(self) -> int:
        """Wait for the end; the exit code, negative for the signal that killed it."""
        # The reading goes on where it takes too long: the log is read to its end after a kill.
        await asyncio.wait([self._reading], timeout=PATIENCE_S)
        assert self._reading.done(), f"it has not ended: {self.lines[-3:]}"
        await self._reading
        async with asyncio.timeout(PATIENCE_S):
            await self._ended.wait()
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        self._process.join()
        code = self._process.exitcode
        assert code is not None
        return code

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            self.lines.append(line.decode().rstrip("\n"))
            async with self._said:
                self._said.notify_all()
        self._is_read = True
        async with self._said:
            self._said.notify_all()
