"""A sync that is killed, stopped, cancelled or cut off from its database, wherever it is.

Points are numbered by the messages that pass between the program, the API and the database. What
has to be true at each of them stands in `examination.py`.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest

from tests.crashes.examination import Examiner, Finding, rehearse
from tests.crashes.points import ACTIONS, Point, around_commits, commits
from tests.crashes.process import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.crashes.points import Action
    from tests.crashes.process import SyncerProcess
    from tests.crashes.scenario import Scenario
    from tests.proxies.proxy import Passage

# How an account may stand, by its record and with all that is stored of it.
EARLY = {"nothing begun", "not done"}
STANDINGS: dict[Action, set[str]] = {
    "kill": EARLY | {"complete"},
    "stop": {"skipped", "interrupted", "complete"},
    "cancel": EARLY | {"skipped", "interrupted", "complete"},
    "cut": EARLY | {"complete"},
}
# Far apart, and in another place for each action.
STRIDE = 167


def standings(findings: Iterable[Finding]) -> set[str]:
    return {re.sub(r" after \d+", "", name) for one in findings for name in one.standings}


@pytest.mark.slow
@pytest.mark.parametrize("action", ACTIONS)
async def test_what_is_stored_is_whole_wherever_a_sync_ends(here: Scenario, action: Action) -> None:
    examiner = await rehearse(here)
    start = list(ACTIONS).index(action) * STRIDE // len(ACTIONS)
    asked = [point for point in examiner.points if point.label.startswith("api ")]
    chosen = [*around_commits(examiner.points), *examiner.points[start::STRIDE], *asked[::5]]
    findings = await examiner.examine_all(action, chosen)
    assert {"complete"} < standings(findings) <= STANDINGS[action]


@pytest.mark.long
@pytest.mark.parametrize("action", ACTIONS)
async def test_what_is_stored_is_whole_at_every_point(here: Scenario, action: Action) -> None:
    examiner = await rehearse(here)
    findings = await examiner.examine_all(action, examiner.points)
    assert {"complete"} < standings(findings) <= STANDINGS[action]


def at_commit(examiner: Examiner, account: int, moment: str) -> Point:
    """Just before or just after the commit of what a walk of the account brought."""
    number = commits(examiner.points, of="WITH walk AS")[account]
    (point,) = (one for one in examiner.points if (one.number, one.moment) == (number, moment))
    return point


@pytest.mark.parametrize("account", [0, 1])
async def test_a_commit_whose_answer_is_lost_is_known_to_have_taken_effect(
    here: Scenario, account: int
) -> None:
    examiner = await rehearse(here)
    finding = await examiner.examine("cut", at_commit(examiner, account, "after"))
    assert (finding.code, finding.standings) == (0, ("complete", "complete"))
    assert finding.events.count("account.synced") == 2


@pytest.mark.parametrize("account", [0, 1])
async def test_a_commit_that_is_lost_itself_is_made_again(here: Scenario, account: int) -> None:
    examiner = await rehearse(here)
    finding = await examiner.examine("cut", at_commit(examiner, account, "before"))
    assert (finding.code, finding.standings) == (0, ("complete", "complete"))
    assert finding.events.count("account.synced") == 2


async def test_a_commit_that_is_still_on_its_way_is_waited_for(here: Scenario) -> None:
    examiner = await rehearse(here)

    async def delay(_process: SyncerProcess, passage: Passage) -> None:
        passage.lose_client()
        async with asyncio.timeout(PATIENCE_S):
            while not await here.control.fetchval(
                "SELECT count(*) FROM pg_locks WHERE NOT granted"
            ):
                await here.control.execute("SELECT pg_sleep(0.02)")

    finding = await examiner.examine("cut", at_commit(examiner, 0, "before"), delay)
    assert (finding.code, finding.standings) == (0, ("complete", "complete"))
    assert finding.events.count("account.synced") == 2


@pytest.mark.slow
async def test_what_is_done_is_done_when_only_the_farewell_is_cancelled(here: Scenario) -> None:
    examiner = await rehearse(here)
    farewell, _ = examiner.points[-2:]
    finding = await examiner.examine("cancel", farewell)
    assert (finding.code, finding.standings) == (0, ("complete", "complete"))
    assert finding.events[-2:] == ("run.finished", "run.interrupted")


@pytest.mark.slow
async def test_a_commit_decides_between_all_and_nothing(here: Scenario) -> None:
    examiner = await rehearse(here)
    before, after = (at_commit(examiner, 0, moment) for moment in ("before", "after"))
    assert (await examiner.examine("kill", before)).standings[0] == "not done"
    assert (await examiner.examine("kill", after)).standings[0] == "complete"
