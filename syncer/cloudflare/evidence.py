"""What a walk has seen, which page to ask next, and whether it saw everything. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from syncer.errors import Reason
from syncer.invoice import Invoice, Rejection

if TYPE_CHECKING:
    from collections.abc import Container

    from syncer.cloudflare.wire import Page
    from syncer.digests import PageDigests

# So many pages in a row without a new record are no shift of the list by a few insertions.
STALLED_PAGES: Final = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` is None for a proven walk; `again` says that another walk may see more clearly."""

    reason: Reason | None
    again: bool


@dataclass(slots=True)
class Evidence:
    """One walk: its records by identity, and every sign of how far to trust them.

    Records that can be no invoice are told apart by their digest, and where they have no id by how
    often that came before on the same page: two of a page are two, however alike. `names` has each
    record once: by its id, whatever else it holds, or by what tells it apart where it has none.

    `invoices` has None where the invoice is stored as it was served.

    `pageable` is False when the API refuses the parameter `page`, so that only one can be asked.
    """

    max_pages: int
    pageable: bool = True
    invoices: dict[str, Invoice | None] = field(default_factory=dict)
    rejections: dict[tuple[bytes, int], Rejection] = field(default_factory=dict)
    names: set[str | tuple[bytes, int]] = field(default_factory=set)
    asked: int = 0
    _digests: dict[int, PageDigests] = field(default_factory=dict)
    _has_more: dict[int, bool] = field(default_factory=dict)
    _end: int | None = None
    _highest_new: int = 0
    _idle: set[int] = field(default_factory=set)
    _repeats: set[int] = field(default_factory=set)
    _mismatched: set[int] = field(default_factory=set)
    _totals: set[int] = field(default_factory=set)
    _without_total: set[int] = field(default_factory=set)
    _per_page: int = 0
    _repeated: bool = False

    def note(self, number: int, page: Page) -> None:
        """Take in the answer to the request for page `number`; later answers win over earlier."""
        before = self.distinct
        self._take_in(page)
        self._digests[number] = page.digests
        self._has_more[number] = page.has_more
        if self.distinct > before:
            self._highest_new = max(self._highest_new, number)
        else:
            if page.has_more:
                self._idle.add(number)
            if page.size:
                self._repeats.add(number)
        if not page.has_more:
            self._end = min(_end_told_by(page, number, self._has_more), self._end or number)
        if page.number not in (None, number):
            self._mismatched.add(number)
        if page.total is None:
            self._without_total.add(number)
        else:
            self._totals.add(page.total)
        if number == 1:
            self._per_page = page.per_page or page.size

    @property
    def distinct(self) -> int:
        """Distinct records so far, rejected ones counted."""
        return len(self.names)

    @property
    def total(self) -> int | None:
        """The largest number of records that any page reported, None where none did."""
        return max(self._totals, default=None)

    @property
    def listed(self) -> frozenset[str] | None:
        """Ids that the API lists, of rejected records too; None where absence is not proven.

        An id that cannot be read could be any. And a deletion between two pages hides an invoice
        from both: only a total on every page, and as many records as that, speak against it.
        """
        rejected = {rejection.id for rejection in self.rejections.values()}
        counted = not self._without_total and self._totals == {self.distinct}
        if None in rejected or self._repeated or not (counted or len(self._has_more) == 1):
            return None
        return frozenset(self.invoices) | {id_ for id_ in rejected if id_ is not None}

    @property
    def digests(self) -> tuple[PageDigests, ...] | None:
        """The digests of all pages in their order; None where an id came more than once.

        What was served first under such an id is not what gets stored.
        """
        if self._repeated:
            return None
        return tuple(self._digests[number] for number in sorted(self._digests))

    @property
    def expected_pages(self) -> int:
        """Pages that the reported total makes, at least 1: a hint."""
        if not self.total or not self._per_page:
            return 1
        return min(-(-self.total // self._per_page), self.max_pages)

    def next_by_total(self) -> int | None:
        """Return the next page to ask while others are under way, None when the hint is used up."""
        number = self.asked + 1
        if number > self.expected_pages or self.ended_before(number) or self._hopeless:
            return None
        return self._ask(number)

    def next_after_last(self) -> int | None:
        """Return the next page to ask once all others have answered, None at the end.

        An end that comes before the reported total is asked about once: the page behind it is
        either empty, or shows that the total was right and `has_more` wrong.
        """
        last = self.asked
        if last not in self._has_more or last >= self.max_pages or self._hopeless:
            return None
        doubtful_end = self._short and len(self._totals) == 1 and self._highest_new == last
        return self._ask(last + 1) if self._has_more[last] or doubtful_end else None

    def ended_before(self, number: int) -> bool:
        """Whether a page below `number` said that it was the last one."""
        return self._end is not None and self._end < number

    def verdict(self) -> Verdict:
        """Judge a walk that has asked all it could."""
        if self._contradicted:
            return Verdict(Reason.PAGINATION_NOT_HONOURED, again=False)
        if self._end is None and len(self._has_more) >= self.max_pages:
            return Verdict(Reason.PAGE_LIMIT, again=False)
        if self._end is None or self._stalled or self._mere_repeats:
            return Verdict(Reason.PAGINATION_NOT_HONOURED, again=self.pageable)
        if self._short:
            return Verdict(Reason.FEWER_THAN_REPORTED, again=True)
        moved = len(self._totals) > 1 or self._repeated or self.ended_before(self._highest_new)
        return Verdict(None, again=moved)

    def _take_in(self, page: Page) -> None:
        before = self.distinct
        self.invoices.update(dict.fromkeys(page.unchanged))
        self.names.update(page.unchanged)
        alike: Counter[bytes] = Counter()
        for record in page.records:
            # An invoice may come again as a record that can be none, and the other way round.
            if isinstance(record, Invoice):
                self.invoices[record.id] = record
                self.names.add(record.id)
            else:
                which = record.digest, alike[record.digest]
                alike[record.digest] += record.id is None
                self.rejections[which] = record
                self.names.add(record.id or which)
        self._repeated |= self.distinct - before < page.size

    def _ask(self, number: int) -> int:
        self.asked = number
        return number

    @property
    def _short(self) -> bool:
        return self.distinct < (self.total or 0)

    @property
    def _hopeless(self) -> bool:
        return not self.pageable or self._contradicted or self._stalled

    @property
    def _contradicted(self) -> bool:
        # Behind the end an API may repeat its last page, number and all: that contradicts nothing.
        return any(not self.ended_before(number) for number in self._mismatched)

    @property
    def _mere_repeats(self) -> bool:
        # Another page's records under this number are not the ones that belong here.
        return any(not self.ended_before(number) for number in self._repeats)

    @property
    def _stalled(self) -> bool:
        """Whether pages in a row promised more and brought nothing new."""
        return any(
            all(number + i in self._idle for i in range(STALLED_PAGES)) for number in self._idle
        )


def _end_told_by(page: Page, number: int, known: Container[int]) -> int:
    """Return the number of the last page, told by the answer to the request for page `number`.

    Where the list became shorter, its last page may stand in for one that is no more.
    """
    if page.number is None or page.number not in known:
        return number
    return min(page.number, number)
