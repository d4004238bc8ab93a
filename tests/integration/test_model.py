"""Whatever moves between two requests, the tables agree with what the API served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncer.cloudflare.walk import WalkSettings
from syncer.demo.answers import Settings
from syncer.errors import Reason
from tests.integration.agreement import WalkStory, assert_agreement
from tests.integration.ledger import read_ledger
from tests.integration.moving import Kind, Move, MovingAccount, Timed, Totals, first_records
from tests.integration.running import EMPTIED, Site, with_account
from tests.integration.witness import Served, attempts_of

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Story:
    """An API, how it is asked, and what happens during each of the walks."""

    settings: Settings
    totals: Totals
    per_page: int
    concurrency: int
    invoices: int
    walks: tuple[tuple[Timed, ...], ...]


@st.composite
def apis(draw: st.DrawFn) -> Settings:
    """Behaviour that is documented nowhere, in every variant."""
    max_per_page = draw(st.sampled_from([2, 2, 3, 5]))
    refused = st.sampled_from([*[()] * 8, ("per_page",), ("page", "per_page")])
    return Settings(
        default_per_page=draw(st.integers(2, max_per_page)),
        max_per_page=max_per_page,
        oversized=draw(st.sampled_from(["clamp", "refuse"])),
        refused_parameters=frozenset(draw(refused)),
        page_parameter=draw(st.sampled_from([*["honoured"] * 9, "ignored"])),
        past_the_end=draw(st.sampled_from(["empty", "400", "404", "last"])),
        pagination_in=draw(st.sampled_from(["both", "result", "result_info"])),
        pdf_links=draw(st.sampled_from(["stable", "anew"])),
    )


def totals() -> st.SearchStrategy[Totals]:
    right = st.just(Totals("right"))
    silent = st.sampled_from([Totals("absent"), Totals("null"), Totals("by turns")])
    off = st.builds(Totals, st.just("off"), st.integers(-3, 1))
    constant = st.builds(Totals, st.just("constant"), st.integers(0, 12))
    return st.one_of(right, right, right, silent, off, constant)


def moves() -> st.SearchStrategy[tuple[Timed, ...]]:
    """What shifts pages, and what hides that it does, comes often."""
    kinds: list[Kind] = [
        *("appear", "vanish", "swap", "reorder", "come back") * 3,
        *("pay", "edit", "void", "relink", "spoil", "lose its id", "mend", "vanish but few"),
    ]
    place = st.integers(0, 25)
    move = st.builds(Move, st.sampled_from(kinds), place, place)
    timed = st.builds(Timed, st.sampled_from([2, 2, 3, 3, 1, 4, 5, 6, 7]), move)
    return st.lists(timed, max_size=6).map(tuple)


def stories() -> st.SearchStrategy[Story]:
    return st.builds(
        Story,
        settings=apis(),
        totals=totals(),
        per_page=st.sampled_from([2, 2, 3, 5]),
        concurrency=st.sampled_from([1, 1, 1, 3]),
        invoices=st.one_of(st.integers(3, 12), st.integers(0, 12), st.integers(21, 24)),
        walks=st.lists(moves(), min_size=1, max_size=4).map(tuple),
    )


class Stage:
    """One account after another, on both sides; the database is empty but for it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stories = 0

    async def set(self, story: Story) -> MovingAccount:
        """Begin anew: a token of its own gives each story a budget of its own, here and there."""
        await self._site.execute(EMPTIED)
        self._site.accounts.clear()
        self._stories += 1
        self._account = MovingAccount(
            api=self._site.api,
            account=self._site.add(f"story-{self._stories}", 0),
            settings=story.settings,
            totals=story.totals,
            listed=first_records(story.invoices),
        )
        self._one_at_a_time = story.concurrency == 1
        self._run_settings = with_account(
            walk=WalkSettings(per_page=story.per_page, concurrency=story.concurrency)
        )
        self._ledger = await read_ledger(self._site.database)
        return self._account

    async def walk(self, moves: Sequence[Timed] = ()) -> WalkStory:
        """Run once, and hold what is stored against what was served."""
        before, account = self._ledger, self._account
        account.begin(moves)
        with structlog.testing.capture_logs():
            result = await self._site.run(self._run_settings)
        self._ledger = await read_ledger(self._site.database, result.run_id)
        walk = WalkStory(
            before=before,
            after=self._ledger,
            sights=account.sights,
            attempts=attempts_of(account.sights),
            is_pageable=account.is_pageable,
            one_at_a_time=self._one_at_a_time,
        )
        assert_agreement(walk)
        return walk


@pytest.fixture
def stage(here: Site) -> Stage:
    return Stage(here)


@pytest.mark.thorough
@settings(
    max_examples=settings().max_examples // 2,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=stories())
async def test_whatever_moves_the_tables_agree_with_what_was_served(
    stage: Stage, story: Story
) -> None:
    account = await stage.set(story)
    for walk in story.walks:
        await stage.walk(walk)
    account.come_to_rest()
    final = await stage.walk()
    if final.said["reason"] == Reason.MASS_DISAPPEARANCE:
        return
    assert final.is_complete
    assert {id_: final.after.invoices[id_].content for id_ in final.after.live} == {
        record.id: Served(record.wire).content for record in account.listed
    }
