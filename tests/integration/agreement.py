"""What must hold after every walk, between what was served, what is stored and what is said."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from syncer.errors import Reason
from tests.integration.ledger import assert_unbroken, expected_row, fits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.integration.ledger import Expected, Ledger
    from tests.integration.running import Row
    from tests.integration.witness import Attempt, Served, Sight

MAX_WALKS: Final = 3
FEW_INVOICES: Final = 20


@dataclass(frozen=True)
class WalkStory:
    """One walk: the tables before and after it, and what was served meanwhile.

    `is_pageable` says whether the API gives the page that is asked for; `one_at_a_time` whether
    each request had its answer before the next was sent.
    """

    before: Ledger
    after: Ledger
    sights: Sequence[Sight]
    attempts: Sequence[Attempt]
    is_pageable: bool
    one_at_a_time: bool

    @property
    def said(self) -> Row:
        """The row that sums it up."""
        return self.after.sync

    @property
    def is_complete(self) -> bool:
        return bool(self.said["status"] == "complete")

    @property
    def last(self) -> Attempt:
        return self.attempts[-1]

    @cached_property
    def valid(self) -> dict[str, list[Served]]:
        """By id, as which invoice it can have been served last."""
        found: dict[str, list[Served]] = {}
        for attempt in self.attempts:
            latest: dict[str, list[Served]] = {}
            for record in attempt.records:
                if record.odd:
                    continue
                latest.setdefault(record.identity, []).append(record)
            found |= latest
        return {id_: some[-1:] if self.one_at_a_time else some for id_, some in found.items()}

    @cached_property
    def odd(self) -> set[str]:
        return {record.identity for one in self.attempts for record in one.records if record.odd}

    @cached_property
    def is_mass_disappearance(self) -> bool:
        """Whether most of more than a few are gone of those that the last complete walk left."""
        state = self.before.state
        complete_at = state["last_complete_at"] if state else None
        confirmed = {
            id_
            for id_ in self.before.live
            if complete_at is None or self.before.invoices[id_].first_seen_at <= complete_at
        }
        gone = confirmed - self.last.ids
        return self.last.proves_absence and FEW_INVOICES < len(confirmed) < 2 * len(gone)

    @cached_property
    def marked(self) -> set[str]:
        """What has to be marked missing."""
        if not self.is_complete or not self.last.proves_absence:
            return set()
        return (self.before.live | self.valid.keys()) - self.last.ids


def assert_agreement(walk: WalkStory) -> None:
    assert_outcome(walk)
    assert_nothing_is_hidden(walk)
    assert_nothing_listed_is_missing(walk)
    counts = assert_rows(walk)
    assert_counts(walk, counts)
    assert_state(walk)


def assert_outcome(walk: WalkStory) -> None:
    """Complete is what can be proven; and what stands still can be, if the API does as asked."""
    last, reason = walk.last, walk.said["reason"]
    assert walk.said["status"] == ("incomplete" if reason else "complete")
    if walk.is_complete or reason == Reason.MASS_DISAPPEARANCE:
        assert last.is_whole
        assert walk.is_mass_disappearance == bool(reason)
        # Who cannot see it stand still has at least tried.
        assert last.is_settled or len(walk.attempts) == MAX_WALKS
    elif not walk.is_pageable and any(page.has_more for page in last.pages):
        assert reason == Reason.PAGINATION_NOT_HONOURED
    else:
        assert len(walk.attempts) == MAX_WALKS
        if last.stood_still:
            assert reason == Reason.FEWER_THAN_REPORTED
            assert last.distinct < (last.total or 0)
    if walk.is_pageable and any(attempt.is_plain for attempt in walk.attempts):
        assert not any(attempt.is_plain for attempt in walk.attempts[:-1])
        assert walk.is_complete or reason == Reason.MASS_DISAPPEARANCE


def assert_nothing_is_hidden(walk: WalkStory) -> None:
    """A complete walk has met every invoice that was listed all the time, as far as can be known.

    Hidden from all pages is only what moves onto a page that was read already. Whatever makes room
    there has to go, and be replaced where pages are still to be read or the total tell of it.
    """
    last = walk.last
    if not walk.is_complete:
        return
    if last.stood_still:
        assert last.ids == last.last_moment.ids
    elif last.is_settled and last.in_order:
        if not last.has("vanished"):
            assert last.ids == last.last_moment.ids
        elif last.total_was_right and not last.has("jumped"):
            assert last.steady <= last.ids


def assert_nothing_listed_is_missing(walk: WalkStory) -> None:
    """Whatever the API listed all the time is not marked, unless its total hides that it moves.

    And but where one goes from a page that was read, and another comes further down before the next
    answer, no total tells of it, and no invoice comes twice.
    """
    last = walk.last
    if len(last.pages) == 1 or (last.total_tells_of_moves and not last.is_deceived):
        newly_missing = walk.before.live - walk.after.live
        newly_missing |= walk.after.invoices.keys() - walk.before.invoices.keys() - walk.after.live
        assert newly_missing.isdisjoint(last.steady)


def assert_rows(walk: WalkStory) -> dict[str, int]:
    """Each invoice has become what it was served as; how many were written in which way."""
    before, after = walk.before, walk.after
    assert after.invoices.keys() == before.invoices.keys() | walk.valid.keys()
    counts = {"inserted": 0, "updated": 0, "unchanged": 0, "missing": len(walk.marked)}
    for id_, stored in after.invoices.items():
        candidates: list[Expected] = [
            expected_row(before.invoices.get(id_), served, is_marked=id_ in walk.marked)
            for served in walk.valid.get(id_, [None])
        ]
        fitting = [one for one in candidates if fits(before.invoices.get(id_), stored, one)]
        assert fitting, (id_, before.invoices.get(id_), stored, candidates)
        changes = after.changes_of(id_)
        told = changes[len(before.changes_of(id_)) :]
        assert told in [one.changes for one in fitting]
        assert_unbroken(changes, stored)
        if id_ in walk.valid:
            counts[fitting[0].counted_as] += 1
    assert after.history[: len(before.history)] == before.history
    news = after.history[len(before.history) :]
    assert {run_id for run_id, _, _ in news} <= {str(walk.said["run_id"])}
    assert {id_ for _, id_, _ in news} <= after.invoices.keys()
    assert after.rejected == before.rejected | walk.odd
    return counts


def assert_counts(walk: WalkStory, counts: dict[str, int]) -> None:
    expected = counts | {
        "pages": sum(len(attempt.pages) for attempt in walk.attempts),
        "requests": len(walk.sights),
        "retries": 0,
        "fetched": len({record.name for one in walk.attempts for record in one.records}),
        "rejected": len(walk.odd),
        "total_reported": walk.last.total,
    }
    assert {name: walk.said[name] for name in expected} == expected


def assert_state(walk: WalkStory) -> None:
    """The account's state is that of its last walk."""
    before, state, said = walk.before.state, walk.after.state, walk.said
    assert state is not None
    failures = 0 if walk.is_complete else (before["consecutive_failures"] if before else 0) + 1
    complete_at, complete_as_of = (
        (before["last_complete_at"], before["complete_as_of"]) if before else (None, None)
    )
    if walk.is_complete:
        complete_at, complete_as_of = said["finished_at"], said["started_at"]
    expected = {
        "last_run_id": said["run_id"],
        "last_status": said["status"],
        "last_started_at": said["started_at"],
        "last_finished_at": said["finished_at"],
        "last_complete_at": complete_at,
        "complete_as_of": complete_as_of,
        "last_error_kind": said["error_kind"],
        "last_error": said["error"],
        "consecutive_failures": failures,
        "pages": said["pages"],
        "invoices_fetched": said["fetched"],
        "total_reported": said["total_reported"],
    }
    assert {name: state[name] for name in expected} == expected
    assert (said["reason"] is None) == (said["error"] is None) == walk.is_complete
