"""What a walk was served, told apart into its attempts, and what each of them can prove.

Nothing here is the product's: it sees the answers before they are sent, and the API's list at the
moment of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from tests.reading import DOCUMENTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from syncer.demo.faults import JsonObject

Content = dict[str, Any]

# Columns of an invoice's content that the API calls by the same name.
SAME_NAME: Final = sorted(DOCUMENTED - {"created", "invoice_pdf"})


@dataclass(frozen=True)
class Moment:
    """The API's list when a request came, and how often something had gone, or jumped, by then.

    A record that comes elsewhere than at the front, or changes its place, jumps.
    """

    listed: tuple[tuple[int, str | None], ...]
    vanished: int
    jumped: int

    @property
    def ids(self) -> set[str]:
        return {id_ for _, id_ in self.listed if id_ is not None}


@dataclass(frozen=True)
class Served:
    """One record as it was served: odd where it lacks what an invoice needs."""

    wire: JsonObject

    @property
    def id(self) -> str | None:
        id_: str | None = self.wire.get("id")
        return id_

    @property
    def link(self) -> str | None:
        link: str | None = self.wire["invoice_pdf"]
        return link

    @cached_property
    def odd(self) -> bool:
        return "id" not in self.wire or "amount_due" not in self.wire

    @cached_property
    def identity(self) -> str:
        """Odd records are the same where all but the link is: that may differ at each fetch."""
        return repr({**self.wire, "invoice_pdf": None}) if self.odd else self.wire["id"]

    @property
    def name(self) -> str:
        """What it counts by: an invoice and an odd record of one id are one."""
        return self.id or self.identity

    @cached_property
    def content(self) -> Content:
        extra = {name: value for name, value in self.wire.items() if name not in DOCUMENTED}
        return {name: self.wire[name] for name in SAME_NAME} | {
            "created_at": datetime.fromtimestamp(self.wire["created"], UTC),
            "extra": extra or None,
        }


@dataclass(frozen=True)
class Sight:
    """One answer: `records` is None where it was an error."""

    asked: int
    moment: Moment
    records: tuple[Served, ...] | None
    has_more: bool = True
    number: int = 0
    total: int | None = None

    @classmethod
    def of(cls, asked: int, payload: JsonObject, moment: Moment) -> Sight:
        result = payload["result"]
        if result is None:
            return cls(asked, moment, None)
        pagination = payload.get("result_info") or result["pagination"]
        return cls(
            asked,
            moment,
            tuple(Served(wire) for wire in result["invoices"]),
            pagination["has_more"],
            pagination["page"],
            pagination.get("total_count"),
        )


@dataclass(frozen=True)
class Attempt:
    """One way from page 1 to the end."""

    sights: Sequence[Sight]

    @cached_property
    def pages(self) -> list[Sight]:
        return [sight for sight in self.sights if sight.records is not None]

    @cached_property
    def records(self) -> list[Served]:
        return [record for page in self.pages for record in page.records or ()]

    @property
    def ids(self) -> set[str]:
        """Ids that can be read, of odd records too."""
        return {record.id for record in self.records if record.id is not None}

    @property
    def distinct(self) -> int:
        return len({record.name for record in self.records})

    @property
    def total(self) -> int | None:
        return max((page.total for page in self.pages if page.total is not None), default=None)

    @property
    def is_whole(self) -> bool:
        """Whether it meets the three conditions of a complete sync."""
        ends = [min(page.asked, page.number) for page in self.pages if not page.has_more]
        contradicted = [
            page
            for page in self.pages
            if page.number != page.asked and not any(end < page.asked for end in ends)
        ]
        return bool(ends) and not contradicted and self.distinct >= (self.total or 0)

    @property
    def is_settled(self) -> bool:
        """Whether nothing in the answers says that the list has moved."""
        named = [record.name for record in self.records]
        totals = {page.total for page in self.pages} - {None}
        return len(named) == len(set(named)) and len(totals) <= 1

    @property
    def proves_absence(self) -> bool:
        """Whether what it lacks is not listed: one page is a whole, several have to add up."""
        if not self.is_settled or any(record.id is None for record in self.records):
            return False
        return len(self.pages) == 1 or {page.total for page in self.pages} == {self.distinct}

    @property
    def stood_still(self) -> bool:
        """Whether the list had the same records in the same order at each request."""
        return len({sight.moment.listed for sight in self.sights}) == 1

    @property
    def is_plain(self) -> bool:
        """Whether nothing moved, and no total was too large."""
        return self.stood_still and (self.total or 0) <= len(self.last_moment.listed)

    @property
    def in_order(self) -> bool:
        asked = [sight.asked for sight in self.sights]
        return asked == sorted(asked)

    @property
    def last_moment(self) -> Moment:
        return self.sights[-1].moment

    def has(self, counter: str) -> bool:
        """Whether something `vanished`, or `jumped`, between its first and its last request."""
        first, last = self.sights[0].moment, self.last_moment
        return bool(getattr(first, counter) < getattr(last, counter))

    @property
    def is_deceived(self) -> bool:
        """Whether something went, and something else jumped, between the same two answers."""
        return any(
            one.moment.vanished < next_.moment.vanished and one.moment.jumped < next_.moment.jumped
            for one, next_ in pairwise(self.pages)
        )

    @property
    def total_tells_of_moves(self) -> bool:
        """Whether the total, on whichever page it stands, is off by as much each time."""
        return len({p.total - len(p.moment.listed) for p in self.pages if p.total is not None}) <= 1

    @property
    def total_was_right(self) -> bool:
        return all(page.total == len(page.moment.listed) for page in self.pages)

    @property
    def steady(self) -> set[str]:
        """Ids that were listed all the time."""
        return set.intersection(*(sight.moment.ids for sight in self.sights))


def attempts_of(sights: Sequence[Sight]) -> list[Attempt]:
    return [Attempt(part) for part in _parts(sights)]


def _parts(sights: Sequence[Sight]) -> Iterator[Sequence[Sight]]:
    """Each attempt has page 1 once; what is refused before it is part of none."""
    starts = [i for i, sight in enumerate(sights) if sight.asked == 1 and sight.records is not None]
    for start, end in zip(starts, [*starts[1:], len(sights)], strict=True):
        yield sights[start:end]
