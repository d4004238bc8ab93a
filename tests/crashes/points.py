"""What is done to a sync, and where: at each message that passes a proxy."""

from __future__ import annotations

import re
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.crashes.process import SyncerProcess
    from tests.proxies.proxy import Message, Passage

Act: TypeAlias = "Callable[[SyncerProcess, Passage], Awaitable[None]]"


async def kill(process: SyncerProcess, passage: Passage) -> None:
    """End the process at once; what it had sent and what is on its way to it are lost as well."""
    process.send(signal.SIGKILL)
    await process.wait()
    passage.cut()


async def ask_to_stop(process: SyncerProcess, _passage: Passage) -> None:
    """Send a signal, without waiting for an effect."""
    process.send(signal.SIGTERM)


async def stop(process: SyncerProcess, _passage: Passage) -> None:
    """Have the sync end early; the message is held until it has heard."""
    process.send(signal.SIGTERM)
    await process.said("run.interrupted")


async def cancel(process: SyncerProcess, _passage: Passage) -> None:
    """Have the sync end at once, by cancelling whatever it awaits."""
    process.send(signal.SIGTERM)
    # Two of a kind may arrive as one.
    process.send(signal.SIGINT)
    await process.said("run.interrupted")


async def cut(_process: SyncerProcess, passage: Passage) -> None:
    """Cut the connection that carries the message."""
    passage.cut()


Action: TypeAlias = Literal["kill", "stop", "cancel", "cut"]
ACTIONS: dict[Action, Act] = {"kill": kill, "stop": stop, "cancel": cancel, "cut": cut}

_WRITES = re.compile(r"(?<= client Parse )(INSERT|UPDATE|CREATE|COMMENT|WITH).*")


@dataclass(frozen=True)
class Point:
    """Just before a message is forwarded, or just after."""

    number: int
    moment: Literal["before", "after"]
    label: str

    def __str__(self) -> str:
        return f"{self.moment} {self.number}: {self.label}"


def all_points(messages: Sequence[Message]) -> list[Point]:
    """Before each message, and after the last of those that one side sends in a row.

    After any other is before the next one.
    """
    points = []
    for message, following in zip(messages, [*messages[1:], None], strict=True):
        points.append(Point(message.number, "before", message.label))
        if following is None or message.way != following.way:
            points.append(Point(message.number, "after", message.label))
    return points


def between_flights(points: Sequence[Point]) -> list[Point]:
    """Where one side has said what it had to say, and the other has not answered yet."""
    return [point for point in points if point.moment == "after"]


def commits(points: Sequence[Point], *, of: str = "") -> list[int]:
    """Number the messages that commit something written, last of all by a statement like `of`."""
    numbers, written = [], ""
    for point in points:
        match = _WRITES.search(point.label)
        written = match[0] if match else written
        if " client Query COMMIT" in point.label and point.moment == "before":
            if written and of in written:
                numbers.append(point.number)
            written = ""
    return numbers


def around_commits(points: Sequence[Point]) -> list[Point]:
    """Before something is committed, when it has taken effect, and until the answer is there.

    The answer has two parts, or three where a parameter of the session ends with the transaction.
    """
    near = {number + offset for number in commits(points) for offset in range(4)}
    return [point for point in points if point.number in near]


class Strike:
    """Watches the traffic, and acts on the process or its connection at one point."""

    def __init__(self, act: Act, point: Point) -> None:
        self._act = act
        self._point = point
        self._process: SyncerProcess | None = None
        # By the monotonic clock; None before it has struck.
        self.struck_at: float | None = None

    def aim(self, process: SyncerProcess) -> None:
        self._process = process

    def __call__(self, message: Message) -> Callable[[Passage], Awaitable[None]] | None:
        """Let everything pass but the one message."""
        if message.number != self._point.number or self.struck_at is not None:
            return None
        assert message.label == self._point.label, "the messages came in another order"
        self.struck_at = time.monotonic()
        return self._see_to

    async def _see_to(self, passage: Passage) -> None:
        assert self._process is not None
        if self._point.moment == "after":
            await passage.forward()
        await self._act(self._process, passage)
        if self._point.moment == "before":
            await passage.forward()
