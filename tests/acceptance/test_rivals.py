"""Several processes on one database: each account once per tick, whoever lives or dies."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

import pytest

from syncer.demo.faults import Hang
from tests.pgbouncer import needs_pgbouncer, pgbouncer
from tests.servers import HEAD
from tests.sessions import ADVISORY_LOCKS, session, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from syncer.demo.account import SeenRequest
    from tests.acceptance.program import Event, Program, Running

DAEMONS = 3
AT_A_TIME = 2
ACCOUNTS = DAEMONS * AT_A_TIME

# For a few ticks, on a busy machine.
PATIENCE_S = 60.0

ACCOUNT_LINES = {"account.synced", "account.incomplete", "account.failed", "account.skipped"}
TROUBLES = {"account.failed", "run.postponed", "run.abandoned", "transaction.retry_scheduled"}

pytestmark = pytest.mark.slow


class Gates:
    """Holds every account's n-th request until all accounts have sent theirs.

    Each daemon walks two of the six accounts at a time, so this takes all three of them. An account
    has one page and is walked once per tick, so its n-th request is that of the n-th tick.
    """

    def __init__(self, program: Program) -> None:
        self._holds_from: int | None = None
        self._is_shut = False
        self._arrived: Counter[int] = Counter()
        self._changed = asyncio.Condition()
        for number in range(ACCOUNTS):
            program.add(f"account-{number}", 3).script = self._pass

    async def _pass(self, nth: int, _seen: SeenRequest) -> None:
        async with self._changed:
            self._arrived[nth] += 1
            self._changed.notify_all()
            await self._changed.wait_for(lambda: self._is_open(nth))

    def _is_open(self, nth: int) -> bool:
        is_held = self._holds_from is not None and nth >= self._holds_from
        return not is_held or (self._arrived[nth] == ACCOUNTS and not self._is_shut)

    def hold(self, *, shut: bool = False) -> int:
        """Hold requests from a tick on that has not begun for any account; its number.

        `shut`: for longer than until all have come.
        """
        self._is_shut = shut
        self._holds_from = max(self._arrived, default=0) + 1
        return self._holds_from

    async def open(self) -> None:
        """Hold nothing any more."""
        async with self._changed:
            self._holds_from = None
            self._changed.notify_all()

    async def reached(self, nth: int) -> None:
        """Return when the n-th request of every account has come."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: self._arrived[nth] == ACCOUNTS)


def of_runs(daemons: Sequence[Running], name: str) -> list[tuple[str, Event]]:
    """Events of this name, each with the tick of its run."""
    events = [event for daemon in daemons for event in daemon.events]
    ticks = {event["run_id"]: event["tick"] for event in events if event["event"] == "run.started"}
    return [(ticks[event["run_id"]], event) for event in events if event["event"] == name]


@asynccontextmanager
async def daemons_of(syncer: Program, every: str) -> AsyncIterator[list[Running]]:
    """Three daemons on one database, all of which have begun a run for the same tick."""
    syncer.settings["schedule"] = {"every": every, "run_on_start": False}
    syncer.settings["sync"] = {"concurrent_accounts": AT_A_TIME}
    async with AsyncExitStack() as stack:
        daemons = [await stack.enter_async_context(syncer.running("run")) for _ in range(DAEMONS)]
        async with asyncio.timeout(PATIENCE_S):
            ticks = [(await daemon.event("run.started"))["tick"] for daemon in daemons]
            while len(set(ticks)) > 1:
                latest = ticks.index(min(ticks))
                ticks[latest] = (await daemons[latest].event("run.started"))["tick"]
        yield daemons


@pytest.mark.parametrize("way", ["direct", pytest.param("pooled", marks=needs_pgbouncer)])
async def test_daemons_share_the_accounts_and_walk_each_once_per_tick(
    syncer: Program, way: str
) -> None:
    gates = Gates(syncer)
    direct = syncer.dsn
    pooler = pgbouncer(direct, pool_mode="transaction", pool_size=6)
    with pooler if way == "pooled" else nullcontext(direct) as syncer.dsn:
        async with daemons_of(syncer, "3s") as daemons, session(direct) as observer:
            first = gates.hold()
            await gates.reached(first)
            await gates.reached(first + 1)
            await gates.open()
            for daemon in daemons:
                assert (await daemon.stop(signal.SIGTERM))[0] == 0
            await until(observer, ADVISORY_LOCKS, 0)
    events = [event for daemon in daemons for event in daemon.events]
    # The end of a daemon may have cut a walk short.
    troubles = [event for event in events if event["event"] in TROUBLES]
    assert [event for event in troubles if event.get("reason") != "interrupted"] == []
    walks = Counter((tick, event["account"]) for tick, event in of_runs(daemons, "account.synced"))
    assert set(walks.values()) == {1}
    shares = Counter(
        (tick, daemon.process.pid)
        for daemon in daemons
        for tick, _ in of_runs([daemon], "account.synced")
    )
    # Each of them did some of the accounts at both ticks of which the gates speak.
    daemons_at = Counter(tick for tick, _ in shares)
    assert [count for count in daemons_at.values() if count == DAEMONS][:2] == [DAEMONS] * 2
    # Nobody asked for anything that is in nobody's log.
    asked = sum(event.get("requests", 0) for event in events if event["event"] in ACCOUNT_LINES)
    assert len(syncer.api.requests) == asked


async def test_what_a_killed_daemon_held_is_taken_over_within_the_tick(syncer: Program) -> None:
    gates = Gates(syncer)
    async with daemons_of(syncer, "20s") as daemons:
        held = gates.hold(shut=True)
        await gates.reached(held)
        killed, *others = daemons
        assert (await killed.stop(signal.SIGKILL))[0] == -signal.SIGKILL
        await gates.open()
        tick = of_runs([killed], "run.started")[-1][0]
        async with asyncio.timeout(PATIENCE_S):
            for daemon in others:
                while tick not in [at for at, _ in of_runs([daemon], "run.finished")]:
                    await daemon.event("run.finished", status="succeeded")
    walked = [event["account"] for at, event in of_runs(daemons, "account.synced") if at == tick]
    assert sorted(walked) == sorted(syncer.accounts)
    by_the_killed = [at for at, _ in of_runs([killed], "account.synced")]
    assert tick not in by_the_killed
    skipped = [event["reason"] for at, event in of_runs(others, "account.skipped") if at == tick]
    assert set(skipped) == {"fresh"}


async def test_a_person_leaves_to_a_daemon_what_it_walks(syncer: Program) -> None:
    released = asyncio.Event()
    for name in "ab":
        syncer.add(name, 3).script = lambda _nth, _seen: Hang(released)
    async with syncer.running("run") as daemon:
        await syncer.api.wait_for_requests(2)
        person = await syncer.run("sync")
        released.set()
        await daemon.event("run.finished", status="succeeded")
    assert person.code == 0, person.stderr
    skipped = [event["reason"] for event in person.events if event["event"] == "account.skipped"]
    assert skipped == ["locked"] * 2
    assert len(syncer.api.requests) == 2


@pytest.mark.parametrize("way", ["direct", pytest.param("pooled", marks=needs_pgbouncer)])
async def test_processes_that_start_together_migrate_once(fresh_syncer: Program, way: str) -> None:
    fresh_syncer.add("production", 3)
    direct = fresh_syncer.dsn
    pooler = pgbouncer(direct, pool_mode="transaction", pool_size=6)
    with pooler if way == "pooled" else nullcontext(direct) as fresh_syncer.dsn:
        async with (
            fresh_syncer.running("run") as one,
            fresh_syncer.running("run") as two,
            asyncio.TaskGroup() as group,
        ):
            commands = ["migrate", "migrate", "sync"]
            tasks = [group.create_task(fresh_syncer.run(command)) for command in commands]
            for daemon in (one, two):
                await daemon.event("run.finished", status="succeeded")
                assert (await daemon.stop(signal.SIGTERM))[0] == 0
    finished = [task.result() for task in tasks]
    assert [process.code for process in finished] == [0, 0, 0], finished
    events = [event for process in finished for event in process.events]
    events += one.events + two.events
    (migrated,) = (event for event in events if event["event"] == "schema.migrated")
    assert (migrated["before"], migrated["after"]) == (None, HEAD)
