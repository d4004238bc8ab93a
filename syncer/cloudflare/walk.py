"""Every page of one account's invoice history, as often as it takes to see it stand still.

`page` and `per_page` are undocumented, work in practice, and may one day be ignored or refused;
the total is a hint. So nothing here believes a page by itself: see `evidence` for what counts.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from syncer.cloudflare.evidence import Evidence
from syncer.cloudflare.page_size import KNOWN
from syncer.cloudflare.page_source import PageSource
from syncer.cloudflare.tally import Tally
from syncer.digests import NOTHING_KNOWN, Known, PageDigests
from syncer.errors import (
    AccountNotFound,
    CloudflareError,
    Reason,
    RequestRejected,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncer.account import Account
    from syncer.cloudflare.client import CloudflareClient
    from syncer.cloudflare.wire import Page
    from syncer.invoice import Invoice, Rejection

MAX_WALKS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkSettings:
    """What to ask for, and the bounds of one walk; "auto": as many a page as the API grants."""

    invoice_type: str = "all"
    per_page: int | Literal["auto"] = KNOWN
    max_pages: int = 2000
    concurrency: int = 8


@dataclass(slots=True)
class Walk:
    """What the walks of one account have brought so far; whole at any moment.

    Whoever cancels the walk keeps what it fetched. `known` is what need not be looked at again,
    because it is stored as it was served before. `listed` is the set of ids that the API lists,
    None as long as absence is not proven; `reason` says why the walk is not, once it has ended by
    itself.
    """

    known: Known = NOTHING_KNOWN
    tally: Tally = field(default_factory=Tally)
    attempts: list[Evidence] = field(default_factory=list)
    pages: int = 0
    listed: frozenset[str] | None = None
    reason: Reason | None = None
    error: CloudflareError | None = None

    @property
    def invoices(self) -> dict[str, Invoice | None]:
        """Every invoice that was served, by id, as it was served last; None: as it is stored."""
        return {id_: invoice for seen in self.attempts for id_, invoice in seen.invoices.items()}

    @property
    def digests(self) -> tuple[PageDigests, ...] | None:
        """Those of the pages that were served last; None where they don't tell what is stored."""
        return self.attempts[-1].digests if self.attempts else ()

    @property
    def rejections(self) -> dict[tuple[bytes, int], Rejection]:
        """Every record that could not be an invoice, as `Evidence` tells them apart."""
        return {
            which: record for seen in self.attempts for which, record in seen.rejections.items()
        }

    @property
    def distinct(self) -> int:
        """Distinct records that were served, rejected ones counted."""
        return len(set[object]().union(*(seen.names for seen in self.attempts)))

    @property
    def total(self) -> int | None:
        """The number of records that the last walk reported, None where it reported none."""
        return self.attempts[-1].total if self.attempts else None


async def walk_account(
    client: CloudflareClient,
    account: Account,
    settings: WalkSettings,
    walk: Walk,
    on_page: Callable[[int, int], None],
) -> None:
    """Fetch all of the account's pages into `walk`, again while they move, up to a bound.

    `on_page` is told the pages fetched so far in this walk and how many are expected. Raises
    nothing of Cloudflare's: an error ends the walk and stands in `walk.error`.
    """
    source = PageSource(client, account, settings, walk.tally, walk.known)
    with client.slots.sharing(account.id):
        await _walk(source, settings, walk, on_page)
        if walk.reason is not None and source.shrink(walk.reason):
            walk.reason = walk.error = None
            await _walk(source, settings, walk, on_page)
            if walk.reason is None:
                source.confirm()


async def _walk(
    source: PageSource, settings: WalkSettings, walk: Walk, on_page: Callable[[int, int], None]
) -> None:
    for _ in range(MAX_WALKS):
        # What a page was refused for before may be no page any more.
        walk.tally.errors.clear()
        evidence = Evidence(settings.max_pages)
        walk.attempts.append(evidence)
        refusal = await _Attempt(source, evidence, walk, on_page).run(settings.concurrency)
        if walk.error is not None:
            walk.reason = walk.error.reason
            return
        verdict = evidence.verdict()
        # A page that is refused may be gone since the list became shorter.
        if refusal is None and not verdict.again:
            break
    if refusal is not None:
        walk.error, walk.reason = refusal, refusal.reason
        return
    walk.reason = verdict.reason
    walk.listed = None if verdict.reason else evidence.listed


class _Attempt:
    """One walk from page 1 to the end."""

    def __init__(
        self,
        source: PageSource,
        evidence: Evidence,
        walk: Walk,
        on_page: Callable[[int, int], None],
    ) -> None:
        self._source = source
        self._evidence = evidence
        self._walk = walk
        self._on_page = on_page
        self._pages = 0
        self._refused: dict[int, CloudflareError] = {}

    async def run(self, concurrency: int) -> CloudflareError | None:
        """Return the refusal of a page that the API owes us, if there was one."""
        await self._fetch_first()
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, self._evidence.expected_pages - 1)):
                group.create_task(self._fetch_by_total())
        while not self._stopped and (number := self._evidence.next_after_last()) is not None:
            await self._fetch(number)
        return self._refusal()

    @property
    def _stopped(self) -> bool:
        return self._walk.error is not None or bool(self._refused)

    async def _fetch_first(self) -> None:
        self._evidence.asked = 1
        try:
            page = await self._source.first_page()
        except CloudflareError as error:
            self._walk.error = error
        else:
            self._evidence.pageable = self._source.pageable
            self._note(1, page)

    async def _fetch_by_total(self) -> None:
        while not self._stopped and (number := self._evidence.next_by_total()) is not None:
            await self._fetch(number)

    async def _fetch(self, number: int) -> None:
        try:
            page = await self._source.page(number)
        except (RequestRejected, AccountNotFound) as error:
            self._refused[number] = error
        except CloudflareError as error:
            # The pages under way still arrive, and are kept; no further ones are asked.
            self._walk.error = error
        else:
            self._note(number, page)

    def _note(self, number: int, page: Page) -> None:
        self._evidence.note(number, page)
        self._walk.pages += 1
        self._pages += 1
        self._on_page(self._pages, self._evidence.expected_pages)

    def _refusal(self) -> CloudflareError | None:
        """Tell a page behind the end, which an API may well refuse, from a page that it owes us."""
        refused = self._refused.items()
        return next((error for n, error in refused if not self._evidence.ended_before(n)), None)
