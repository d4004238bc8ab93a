"""Discoveries against the simulated list of accounts, over real HTTP."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
import structlog

from syncer.account import Account, Credential, Discovery
from syncer.cli.status import asked_accounts
from syncer.cloudflare.client import ClientSettings, CloudflareClient
from syncer.config import Settings
from syncer.demo.account import SimulatedAccount
from syncer.demo.api import SimulatedApi
from syncer.demo.faults import Answer, Hang, Throttled
from syncer.stop import Stop
from syncer.sync.roster import Called, Roster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from structlog.typing import EventDict

    from syncer.demo.account import SeenRequest
    from syncer.demo.faults import Fault

FIND_ALL = Discovery("discover[0]", Credential(token="good"), ("*",), ())


@dataclass
class World:
    api: SimulatedApi
    client: CloudflareClient
    slept: list[float]
    roster: Roster = field(default_factory=Roster)

    def add(self, count: int) -> None:
        for number in range(len(self.api.accounts) + 1, len(self.api.accounts) + count + 1):
            account_id = f"{number:032x}"
            self.api.accounts[account_id] = SimulatedAccount(
                account_id, {"good"}, name=f"account-{number}"
            )

    async def call(
        self,
        *discoveries: Discovery,
        configured: tuple[Account, ...] = (),
        stop: Stop | None = None,
        timeout_s: float = 30.0,
    ) -> tuple[Called, list[EventDict]]:
        with structlog.testing.capture_logs() as events:
            called = await self.roster.call(
                self.client,
                configured,
                discoveries or (FIND_ALL,),
                timeout_s=timeout_s,
                stop=stop or Stop(),
            )
        return called, list(events)

    @property
    def pages(self) -> list[str]:
        return [seen.query["page"] for seen in self.api.requests]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with opened() as world:
        yield world


@asynccontextmanager
async def opened() -> AsyncIterator[World]:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with SimulatedApi() as api:
        settings = ClientSettings(base_url=api.base_url, user_agent="t", max_attempts=2)
        client = CloudflareClient(settings, sleep=sleep)
        try:
            yield World(api, client, slept)
        finally:
            await client.close()


@pytest.mark.parametrize(
    ("count", "total", "pages"),
    [
        (1, "right", ["1"]),
        (50, "right", ["1"]),
        (51, "right", ["1", "2"]),
        (120, "right", ["1", "2", "3"]),
        # What is not counted has to be the same twice.
        (120, "absent", ["1", "2", "3", "4"] * 2),
        (120, 50, ["1", "2", "3", "4"] * 2),
    ],
)
async def test_every_page_is_asked(
    world: World, count: int, total: int | str, pages: list[str]
) -> None:
    world.add(count)
    world.api.listing.total_count = total  # type: ignore[assignment]
    called, events = await world.call()
    assert len(called.accounts) == count
    assert {account.credential.token for account in called.accounts} == {"good"}
    assert world.pages == pages
    assert {seen.path for seen in world.api.requests} == {"/client/v4/accounts"}
    assert [event["event"] for event in events] == ["discovery.finished"]
    assert events[0]["accounts"] == count


async def fails(world: World, discovery: Discovery = FIND_ALL) -> EventDict:
    """What a discovery that fails without a list says of it."""
    called, events = await world.call(discovery)
    assert called == Called((), ("discover[0]",))
    *_, event = events
    assert event["event"] == "discovery.failed"
    assert event["known_accounts"] is None
    return event


async def test_a_page_that_repeats_is_no_list(world: World) -> None:
    world.add(60)
    world.api.listing.page_parameter = "ignored"
    assert (await fails(world))["reason"] == "pagination_not_honoured"


async def test_fewer_than_reported_are_no_list(world: World) -> None:
    world.add(60)
    world.api.listing.total_count = 70
    assert (await fails(world))["reason"] == "fewer_than_reported"


async def test_a_page_that_fails_spoils_the_whole_list(world: World) -> None:
    world.add(60)
    world.api.listing.script = lambda _nth, seen: (
        Answer(500, b"{}") if seen.query["page"] == "2" else None
    )
    assert (await fails(world))["reason"] == "unavailable"
    assert world.pages == ["1", "2", "2"]


async def test_an_empty_list_is_a_failure_that_names_the_permission(world: World) -> None:
    world.add(3)
    world.api.listing.powerless = {"good"}
    event = await fails(world)
    assert event["reason"] == "not_found"
    assert "Account Settings Read" in event["error"]


async def test_patterns_that_let_nobody_through_are_a_failure(world: World) -> None:
    world.add(3)
    event = await fails(world, Discovery("discover[0]", Credential(token="good"), ("x*",), ()))
    assert event["reason"] == "not_found"
    # Nobody's name: Cloudflare makes names of e-mail addresses, and these were not asked for.
    assert event["error"] == "include and exclude let none of the 3 listed accounts through"


async def test_an_accounts_own_token_is_refused_in_the_apis_words(world: World) -> None:
    world.api.listing.owned_tokens = {"good"}
    event = await fails(world)
    assert event["reason"] == "request_rejected"
    assert "account owned tokens" in event["error"]


async def test_a_wrong_token_is_denied(world: World) -> None:
    world.add(1)
    event = await fails(world, Discovery("discover[0]", Credential(token="wrong"), ("*",), ()))
    assert event["reason"] == "access_denied"
    assert len(world.api.requests) == 1


async def test_a_credential_that_cannot_be_read_is_its_own_trouble(world: World) -> None:
    unreadable = Discovery("discover[0]", Credential(), ("*",), (), problem="no such file")
    event = await fails(world, unreadable)
    assert (event["reason"], event["error"]) == ("access_denied", "no such file")
    assert world.api.requests == []


async def test_a_list_that_hangs_ends_in_time(world: World) -> None:
    world.add(1)
    world.api.listing.script = lambda _nth, _seen: Hang(None)
    called, events = await world.call(timeout_s=0.05)
    assert called.undiscovered == ("discover[0]",)
    assert events[0]["reason"] == "timeout"


async def test_who_asks_how_things_stand_is_not_kept_by_a_list_that_hangs(world: World) -> None:
    world.add(1)
    world.api.listing.script = lambda _nth, _seen: Hang(None)
    settings = Settings.model_validate(
        {
            "cloudflare": {"base_url": world.api.base_url},
            "accounts": [{"id": "a" * 32, "name": "mine", "api_token": "good"}],
            "discover": [{"api_token": "good"}],
        }
    )
    names, failures = await asked_accounts(settings, longest_s=0.05)
    assert names == {"a" * 32: "mine"}
    assert failures == ["discover[0]: no whole list within 0.05 s"]


async def test_a_stop_ends_it(world: World) -> None:
    world.add(1)
    stop = Stop()

    def ask_to_stop(_nth: int, _seen: SeenRequest) -> Fault:
        stop.request()
        return Hang(None)

    world.api.listing.script = ask_to_stop
    _, events = await world.call(stop=stop)
    assert events[0]["reason"] == "interrupted"


@pytest.mark.slow
async def test_a_throttled_list_is_asked_again_after_its_time(world: World) -> None:
    world.add(1)
    world.api.listing.script = lambda nth, _seen: Throttled(7) if nth == 1 else None
    called, _ = await world.call()
    assert len(called.accounts) == 1
    assert max(world.slept) >= 7


async def test_its_requests_count_against_the_credentials_budget(world: World) -> None:
    world.add(60)
    settings = ClientSettings(base_url=world.api.base_url, user_agent="t", rate_requests=1)
    client = CloudflareClient(settings)
    world.client, before = client, world.client
    try:
        _, events = await world.call(timeout_s=0.2)
    finally:
        await client.close()
        world.client = before
    assert world.pages == ["1"]
    assert [event["event"] for event in events] == ["rate_limit.waiting", "discovery.failed"]


async def test_it_remembers_says_who_came_and_went_and_forgets_nobody_for_a_failure(
    world: World,
) -> None:
    world.add(3)
    await world.call()
    gone = world.api.accounts.pop(f"{2:032x}")
    world.add(1)  # the third again: ids are counted
    world.api.accounts[f"{9:032x}"] = SimulatedAccount(f"{9:032x}", {"good"}, name="new")
    called, events = await world.call()
    assert sorted(account.name for account in called.accounts) == ["account-1", "account-3", "new"]
    assert [(event["event"], event.get("account")) for event in events] == [
        ("discovery.finished", None),
        ("account.discovered", "new"),
        ("account.vanished", gone.name),
    ]
    world.api.listing.powerless = {"good"}
    called, events = await world.call()
    assert len(called.accounts) == 3
    assert called.undiscovered == ()
    assert [(event["event"], event["known_accounts"]) for event in events] == [
        ("discovery.failed", 3)
    ]
    world.api.listing.powerless = set()
    _, events = await world.call()
    assert [event["event"] for event in events] == ["discovery.finished"]


class Moving:
    """A list that changes before its second page is answered, as often as there are changes."""

    def __init__(self, world: World, *changes: Callable[[], object]) -> None:
        self._changes = list(changes)
        self._seen = len(world.pages)
        self._world = world
        world.api.listing.script = self._change

    def _change(self, _nth: int, seen: SeenRequest) -> None:
        if seen.query["page"] == "2" and self._changes:
            self._changes.pop(0)()

    @property
    def asked(self) -> str:
        return "".join(self._world.pages[self._seen :])


def vanished(events: list[EventDict]) -> list[str]:
    return [event["account"] for event in events if event["event"] == "account.vanished"]


async def test_who_slips_onto_a_page_that_was_read_does_not_vanish(world: World) -> None:
    world.add(60)
    await world.call()
    moving = Moving(world, lambda: world.api.accounts.pop(f"{1:032x}"))
    called, events = await world.call()
    # Twice without it, as it was known.
    assert moving.asked == "12" * 3
    assert len(called.accounts) == 59
    assert vanished(events) == ["account-1"]


async def test_nobody_slips_away_behind_somebody_who_comes(world: World) -> None:
    world.add(60)
    await world.call()
    new = SimulatedAccount(f"{99:032x}", {"good"}, name="new")

    def one_goes_and_one_comes() -> None:
        del world.api.accounts[f"{1:032x}"]
        world.api.accounts[new.id] = new

    moving = Moving(world, one_goes_and_one_comes)
    called, events = await world.call()
    # All pages told the same number, and the first walk lacked the wrong one.
    assert moving.asked == "12" * 3
    assert len(called.accounts) == 60
    assert vanished(events) == ["account-1"]


async def test_a_list_that_never_stands_still_costs_nobody(world: World) -> None:
    world.add(60)
    await world.call()
    moving = Moving(
        world, *[lambda nth=nth: world.api.accounts.pop(f"{nth:032x}") for nth in (1, 2, 3)]
    )
    called, events = await world.call()
    assert moving.asked == "12" * 3
    assert len(called.accounts) == 60
    assert [(event["event"], event["reason"]) for event in events] == [
        ("discovery.failed", "fewer_than_reported")
    ]
    _, events = await world.call()
    assert sorted(vanished(events)) == ["account-1", "account-2", "account-3"]


@pytest.mark.parametrize(
    ("trait", "value", "usual"),
    [("page_parameter", "ignored", "honoured"), ("total_count", 70, "right")],
    ids=["misled", "short"],
)
async def test_what_was_read_before_and_after_a_failure_is_not_twice_in_a_row(
    world: World, trait: str, value: object, usual: object
) -> None:
    world.add(60)
    await world.call()
    del world.api.accounts[f"{1:032x}"]
    seconds: list[SeenRequest] = []

    def spoil_the_second_walk(_nth: int, seen: SeenRequest) -> None:
        if seen.query["page"] == "2":
            seconds.append(seen)
        second = seen.query["page"] == "2" and len(seconds) == 2
        setattr(world.api.listing, trait, value if second else usual)

    world.api.listing.script = spoil_the_second_walk
    called, events = await world.call()
    assert len(seconds) == 3
    assert len(called.accounts) == 60
    assert [(event["event"], event["reason"], event["error"]) for event in events] == [
        (
            "discovery.failed",
            "pagination_not_honoured",
            "no two readings of the list of accounts in a row agreed",
        )
    ]
    _, events = await world.call()
    assert vanished(events) == ["account-1"]


def two_of_their_own(world: World) -> tuple[Discovery, Discovery]:
    """Two discoveries that differ in nothing but their credentials."""
    for number, token in ((1, "first"), (2, "second")):
        account_id = f"{number:032x}"
        world.api.accounts[account_id] = SimulatedAccount(account_id, {token}, name=token)
    return (
        Discovery("discover[0]", Credential(token="first"), ("*",), (), source="first"),
        Discovery("discover[1]", Credential(token="second"), ("*",), (), source="second"),
    )


@pytest.mark.parametrize("fails", ["first", "second", None])
async def test_another_order_costs_nobody(world: World, fails: str | None) -> None:
    first, second = two_of_their_own(world)
    before, _ = await world.call(first, second)
    world.api.listing.powerless = {fails} if fails else set()
    swapped = replace(second, label=first.label), replace(first, label=second.label)
    after, events = await world.call(*swapped)
    assert after == Called(before.accounts[::-1])
    told = [event["event"] for event in events]
    assert told.count("discovery.finished") == (1 if fails else 2)
    assert len(told) == 2


async def test_another_one_in_its_place_is_news_of_nobody(world: World) -> None:
    first, second = two_of_their_own(world)
    await world.call(first)
    called, events = await world.call(replace(second, label=first.label))
    assert [account.name for account in called.accounts] == ["second"]
    assert [event["event"] for event in events] == ["discovery.finished"]


async def test_a_discovery_that_was_changed_keeps_whom_it_may(world: World) -> None:
    world.add(3)
    await world.call()
    world.api.listing.powerless = {"good"}
    changed = replace(FIND_ALL, exclude=("account-2",))
    called, events = await world.call(changed)
    assert [account.name for account in called.accounts] == ["account-1", "account-3"]
    assert called.undiscovered == ()
    assert [event["event"] for event in events] == ["discovery.failed"]
    # One beside it is another, and so is what fits nobody that was found.
    called, _ = await world.call(changed, Discovery("discover[1]", Credential(), ("*",), (), "no"))
    assert (len(called.accounts), called.undiscovered) == (2, ("discover[1]",))
    called, events = await world.call(replace(changed, include=("x",)))
    assert called == Called((), ("discover[0]",))
    assert vanished(events) == []


async def test_a_token_that_is_rotated_where_it_stands_keeps_everybody(world: World) -> None:
    world.add(2)
    old = replace(FIND_ALL, source="old", inline_at="discover[0]")
    await world.call(old)
    world.api.listing.powerless = {"good"}
    called, _ = await world.call(replace(old, source="new"))
    assert (len(called.accounts), called.undiscovered) == (2, ())
    # But not if the old one has only moved.
    moved = replace(old, label="discover[1]", source="new", exclude=("x",), inline_at="discover[1]")
    called, _ = await world.call(replace(old, source="third"), moved)
    assert (len(called.accounts), called.undiscovered) == (2, ("discover[0]",))


async def test_nobody_is_asked_for_with_a_credential_that_did_not_find_them(world: World) -> None:
    first, second = two_of_their_own(world)
    await world.call(first)
    world.api.listing.powerless = {"second"}
    called, _ = await world.call(replace(second, label=first.label))
    assert called == Called((), ("discover[0]",))


async def test_one_that_moves_and_is_edited_at_once_is_still_itself(world: World) -> None:
    first, second = two_of_their_own(world)
    await world.call(first, second)
    world.api.listing.powerless = {"second"}
    called, _ = await world.call(replace(second, label=first.label, exclude=("x",)))
    assert [(one.name, one.credential.token) for one in called.accounts] == [("second", "second")]
    assert called.undiscovered == ()


async def test_who_is_configured_as_well_does_not_vanish(world: World) -> None:
    world.add(2)
    own = Account(f"{1:032x}", "mine", Credential(token="own"))
    called, _ = await world.call(configured=(own,))
    assert [account.name for account in called.accounts] == ["mine", "account-2"]
    del world.api.accounts[own.id]
    called, events = await world.call(configured=(own,))
    assert called.accounts[0] == own
    assert [event["event"] for event in events] == ["discovery.finished"]


async def test_two_discoveries_fail_one_by_one(world: World) -> None:
    world.add(2)
    other = Discovery("discover[1]", Credential(token="wrong"), ("*",), ())
    called, _ = await world.call(FIND_ALL, other)
    assert len(called.accounts) == 2
    assert called.undiscovered == ("discover[1]",)
