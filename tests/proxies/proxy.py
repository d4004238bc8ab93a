"""A proxy between the program and a server, that knows where each message ends.

What passes is numbered, in either direction, on any connection, and over all proxies that share a
`Traffic`. Whoever watches the traffic is asked about each message, and can let it pass, hold it
for as long as it takes, and cut the connection before or after it is forwarded.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import TracebackType

    from tests.proxies.frames import Frame, Sender, Splitter

_CHUNK_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Message:
    """A message on its way; `number` counts from 1, `connection` those of its proxy from 1."""

    number: int
    wire: str
    connection: int
    sender: Sender
    frame: Frame

    @property
    def label(self) -> str:
        """What it is, the same each time that the same thing is done."""
        text = f" {self.frame.text[:60]}" if self.frame.text else ""
        return f"{' '.join(map(str, self.way))} {self.frame.kind}{text}"

    @property
    def way(self) -> tuple[str, int, Sender]:
        """Where it comes from and goes to."""
        return self.wire, self.connection, self.sender


class Passage:
    """A message that waits for what becomes of it; whatever came before it was forwarded."""

    def __init__(self, message: Message, connection: _Connection) -> None:
        self.message = message
        self._connection = connection

    async def forward(self) -> None:
        """Let the receiver have it, unless the connection was cut."""
        await self._connection.send(self.message.sender, self.message.frame.data)

    def cut(self) -> None:
        """End the connection for both; what was forwarded still reaches the server."""
        self._connection.cut()

    def lose_client(self) -> None:
        """End the connection for the client alone: to the server it may still be on its way."""
        self._connection.lose_client()


# Asked about each message. None lets it pass; otherwise what is returned sees to its passage, and
# whatever comes after it from the same sender on the same connection waits for that.
Watch: TypeAlias = "Callable[[Message], Callable[[Passage], Awaitable[None]] | None]"


def let_pass(_message: Message) -> None:
    """Watch without doing anything."""


@dataclass
class Traffic:
    """All messages that passed, in their order, and who watches the next ones."""

    watch: Watch = let_pass
    messages: list[Message] = field(default_factory=list)

    def restart(self, watch: Watch = let_pass) -> None:
        """Count from 1 again, with another watch."""
        self.watch = watch
        self.messages = []


class Proxy:
    """Listens on `port` of 127.0.0.1 and relays to what `connect` opens.

    `wire` names it in messages, `splitter` makes what takes a connection apart.
    """

    def __init__(
        self,
        wire: str,
        traffic: Traffic,
        splitter: Callable[[], Splitter],
        connect: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]],
    ) -> None:
        self.wire = wire
        self.traffic = traffic
        self._splitter = splitter
        self._connect = connect
        self._connections: dict[_Connection, asyncio.Task[None]] = {}
        self._failures: list[Exception] = []
        self._opened = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for connection, task in self._connections.items():
            connection.abort()
            # A message may still be held.
            task.cancel()
        await self.wait_until_idle()
        await self._server.wait_closed()
        if self._failures and exc is None:
            raise ExceptionGroup(f"whoever watches the {self.wire} failed", self._failures)

    def restart(self) -> None:
        """Number connections from 1 again."""
        self._opened = 0

    async def wait_until_idle(self) -> None:
        """Return once every connection has ended on both sides."""
        while self._connections:
            await asyncio.wait(self._connections.values())

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._opened += 1
        connection = _Connection(self, self._opened, reader, writer)
        task = asyncio.current_task()
        assert task is not None
        self._connections[connection] = task
        try:
            await connection.relay(*await self._connect(), self._splitter())
        except OSError:
            connection.abort()
        except Exception as error:  # noqa: BLE001 - raised again at the end
            self._failures.append(error)
            connection.abort()
        finally:
            del self._connections[connection]


class _Connection:
    """One connection and its twin: what one side sends is written to the other."""

    def __init__(
        self,
        proxy: Proxy,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._number = number
        self._readers: dict[Sender, asyncio.StreamReader] = {"client": reader}
        # By whose messages they carry.
        self._writers: dict[Sender, asyncio.StreamWriter] = {"server": writer}
        self._is_cut = False

    async def relay(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, splitter: Splitter
    ) -> None:
        self._readers["server"], self._writers["client"] = reader, writer
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pump("client", splitter))
            group.create_task(self._pump("server", splitter))
        for one in self._writers.values():
            one.close()
            with suppress(OSError):
                await one.wait_closed()

    async def send(self, sender: Sender, data: bytes) -> None:
        if data and not self._is_cut:
            # Whoever is gone has no use for it.
            with suppress(OSError):
                self._writers[sender].write(data)
                await self._writers[sender].drain()

    def cut(self) -> None:
        self._is_cut = True
        # The server still reads what it was sent, and then the end; its own end is waited for.
        self._end_towards_server()
        self.lose_client()

    def lose_client(self) -> None:
        self._writers["server"].transport.abort()

    def abort(self) -> None:
        self._is_cut = True
        for writer in self._writers.values():
            writer.transport.abort()

    async def _pump(self, sender: Sender, splitter: Splitter) -> None:
        with suppress(OSError):
            while received := await self._readers[sender].read(_CHUNK_BYTES):
                await self._pass_on(sender, splitter.split(sender, received))
        if sender == "server":
            self._writers["server"].close()
        else:
            # The server learns that there is no more, and may still have something to say.
            self._end_towards_server()

    def _end_towards_server(self) -> None:
        # One that is gone already (a backend that was terminated) needs no word of it.
        with suppress(OSError):
            self._writers["client"].write_eof()

    async def _pass_on(self, sender: Sender, frames: Iterator[Frame]) -> None:
        traffic, proxy = self._proxy.traffic, self._proxy
        passing = bytearray()
        for frame in frames:
            if self._is_cut:
                return
            number = len(traffic.messages) + 1
            message = Message(number, proxy.wire, self._number, sender, frame)
            traffic.messages.append(message)
            see_to = traffic.watch(message)
            if see_to is None:
                passing += frame.data
                continue
            await self.send(sender, bytes(passing))
            passing.clear()
            await see_to(Passage(message, self))
        await self.send(sender, bytes(passing))
