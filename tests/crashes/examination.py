"""A sync with something done to it at one point, and what has to be true of it afterwards."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import structlog

from tests.crashes.outlook import Outlook
from tests.crashes.pictures import LATER, Camera, Picture, Stored
from tests.crashes.points import ACTIONS, Point, Strike, all_points
from tests.crashes.scenario import CHANGES, PER_PAGE, sync_before
from tests.documents import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from syncer.demo.account import SimulatedAccount
    from tests.crashes.points import Act, Action
    from tests.crashes.process import SyncerProcess
    from tests.crashes.scenario import Scenario

# How long the rest may take: what is asked to end has the documented time, and what lost its
# connection may try again for a while before it gives up.
LIMITS_S: Final[dict[Action, float]] = {"kill": 20.0, "stop": 10.0, "cancel": 10.0, "cut": 20.0}
_EVENTS: Final = set(re.findall(r"`([a-z_]+\.[a-z_]+)`", read("docs/operations.md")))


@dataclass(frozen=True)
class Finding:
    """How a sync ended, what it told, and how each account stood then."""

    point: Point
    code: int
    events: tuple[str, ...]
    standings: tuple[str, ...]


class Examiner:
    """Knows what the sync does when nothing happens to it, and holds every other one against it."""

    def __init__(self, here: Scenario, camera: Camera, before: Stored, after: Stored) -> None:
        self._here = here
        self._camera = camera
        self.points = all_points(here.traffic.messages)
        self._outlooks = {
            account.id: Outlook(
                before.accounts[account.id], after.accounts[account.id], _pages(account)
            )
            for account in here.program.accounts.values()
        }

    async def examine_all(self, action: Action, points: Iterable[Point]) -> list[Finding]:
        """Examine each of the points, and raise AssertionError about all that went wrong."""
        findings, failures = [], []
        for point in points:
            try:
                findings.append(await self.examine(action, point))
            except (AssertionError, TimeoutError) as error:
                failures.append(f"{action} {point}: {type(error).__name__} {error}")
        assert not failures, f"{len(failures)} points:\n" + "\n\n".join(failures)
        return findings

    async def examine(self, action: Action, point: Point, act: Act | None = None) -> Finding:
        """Act at the point, and raise AssertionError where anything is not as it has to be.

        `act` is done instead, where the process has to end as after the action.
        """
        here = self._here
        await here.restore()
        strike = Strike(act or ACTIONS[action], point)
        here.traffic.watch = strike
        async with here.syncer("sync") as process:
            strike.aim(process)
            code = await process.wait()
        assert strike.struck_at is not None, "the point was never reached"
        seconds = time.monotonic() - strike.struck_at
        assert seconds < LIMITS_S[action], f"it took {seconds:.1f} s"
        _same("left behind", await here.leftovers(), {})
        stored = await self._camera.take()
        standings = tuple(
            _standing(outlook, stored.accounts[account_id])
            for account_id, outlook in self._outlooks.items()
        )
        _check_run(stored)
        _check_end(action, code, process, standings)
        await self._check_next_sync(stored)
        return Finding(point, code, tuple(one["event"] for one in process.events), standings)

    async def _check_next_sync(self, stored: Stored) -> None:
        """The next sync brings everything up to date, and tells of the one that died."""
        with structlog.testing.capture_logs() as events:
            result = await self._here.sync_again()
        _same("left behind by the next sync", await self._here.leftovers(), {})
        dead = [run["id"] for run in stored.runs if run["status"] == "running"]
        told = [one["abandoned_run_id"] for one in events if one["event"] == "run.abandoned"]
        _same("told to be abandoned", told, dead)
        healed = await self._camera.take()
        earlier = ["abandoned" if run["id"] in dead else run["status"] for run in stored.runs]
        _same("runs", [run["status"] for run in healed.runs], [*earlier, "succeeded"])
        _same("the next sync", result.status, "succeeded")
        for account_id, outlook in self._outlooks.items():
            _check_healed(outlook, stored.accounts[account_id], healed.accounts[account_id])


def _same(what: str, found: object, expected: object) -> None:
    assert found == expected, f"{what}: {found}, not {expected}"


def _standing(outlook: Outlook, found: Picture) -> str:
    name, expected = outlook.expected(found.records)
    _same(f"of an account that is {name}", found.differences(expected), [])
    return name


def _check_run(stored: Stored) -> None:
    """A run that has ended says what its accounts say."""
    for run in stored.runs:
        records = [row for one in stored.accounts.values() for row in one.records]
        if run["status"] == "running":
            _same("the end of a running run", run["finished_at"], None)
            continue
        complete = sum(row["status"] == "complete" for row in records)
        status = {0: "failed", len(records): "succeeded"}.get(complete, "partial")
        _same("the run", (run["status"], run["accounts_complete"]), (status, complete))
        _same("ends of accounts", {row["finished_at"] for row in records}, {LATER})


def _check_end(action: Action, code: int, process: SyncerProcess, standings: Sequence[str]) -> None:
    """The process ends in one of the documented ways, and says so in lines of its own alone."""
    said = "\n".join(process.lines)
    assert "Traceback" not in said, said
    if action == "kill" and code == -9:
        return
    others = [one for one in process.events if one["event"] not in _EVENTS or "logger" in one]
    assert not others, said
    rest = [line for line in process.lines if not line.startswith("{")]
    assert all(line.startswith("syncer: ") for line in rest), said
    ended: tuple[int, int]
    if any(one["event"] == "run.finished" for one in process.events):
        ended = (0 if set(standings) == {"complete"} else 1, 0)
    else:
        assert action in ("cancel", "cut"), said
        ended = (1 if action == "cancel" else 3, 1)
    assert (code, len(rest)) == ended, f"exit code {code}, {standings}\n{said}"


def _check_healed(outlook: Outlook, found: Picture, healed: Picture) -> None:
    """Everything is as after a sync to which nothing happened, and each change is told once."""
    earlier = [row["status"] or "abandoned" for row in found.records]
    _same("accounts", [row["status"] for row in healed.records], [*earlier, "complete"])
    (whole,) = outlook.after.records
    for count in ("inserted", "updated", "missing"):
        _same(f"{count} in all", sum(row[count] for row in healed.records), whole[count])
    expected = replace(outlook.after, records=healed.records)
    _same("after the next sync", healed.differences(expected), [])


async def rehearse(here: Scenario) -> Examiner:
    """Sync once without anything happening, and learn from it."""
    await sync_before(here)
    camera = Camera(here.control)
    before = await camera.begin()
    here.restart()
    async with here.syncer("sync") as process:
        _same("the rehearsal", await process.wait(), 0)
    _same("left behind", await here.leftovers(), {})
    after = await camera.take()
    for name, account in here.program.accounts.items():
        found = after.accounts[account.id]
        _check_whole(account, found)
        _same("changes", Counter(row["change"] for row in found.history), CHANGES[name])
    return Examiner(here, camera, before, after)


def _check_whole(account: SimulatedAccount, found: Picture) -> None:
    """What is stored is what the API lists."""
    listed = {invoice["id"]: invoice for invoice in account.invoices}
    live = {id_: row for id_, row in found.invoices.items() if row["missing_since"] is None}
    rejected = {row["invoice_id"] for row in found.rejected}
    _same("listed", live.keys() | rejected, listed.keys())
    for id_ in live.keys() - rejected:
        same = listed[id_].keys() - {"created"}
        _same(id_, {k: live[id_][k] for k in same}, {k: listed[id_][k] for k in same})


def _pages(account: SimulatedAccount) -> tuple[tuple[str, ...], ...]:
    ids = [invoice["id"] for invoice in account.invoices]
    return tuple(tuple(ids[at : at + PER_PAGE]) for at in range(0, len(ids), PER_PAGE))
