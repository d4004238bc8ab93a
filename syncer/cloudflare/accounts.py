"""Every account that a credential reaches, or why they are not all known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from syncer.cloudflare.account_list import PERMISSION
from syncer.errors import CloudflareError, Reason

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from syncer.account import Credential
    from syncer.cloudflare.account_list import ListedPage
    from syncer.cloudflare.client import CloudflareClient
    from syncer.cloudflare.tally import Tally

PER_PAGE: Final = 50  # the most that is documented
MAX_PAGES: Final = 400
MAX_WALKS: Final = 3


@dataclass(frozen=True, slots=True)
class AccountList:
    """Names by id; with a `reason` and an `error` for people, it is not known to be whole.

    `kept_out` are some names that the operator's patterns refuse. They are for who sits in front
    of it and not for the log: a name that Cloudflare made up holds an e-mail address.
    """

    names: Mapping[str, str]
    reason: Reason | None = None
    error: str = ""
    kept_out: Sequence[str] = ()


async def list_accounts(
    client: CloudflareClient,
    label: str,
    credential: Credential,
    tally: Tally,
    known: Collection[str] = (),
) -> AccountList:
    """Ask for every page, again while the list moves, up to a bound.

    What is taken from a page that was read makes another account slip onto it, unseen. So a list
    of several pages counts only if each of them reported as many as there are on all, and nobody
    who is `known` is missing; or if two walks in a row found the same. `label` tells this list's
    requests from those of accounts.
    """
    before: Collection[str] = ()  # what the walk just before found, if that was one to go by
    for _ in range(MAX_WALKS):
        walk = _Walk()
        try:
            while (number := walk.next_page) is not None:
                query = {"page": str(number), "per_page": str(PER_PAGE)}
                walk.note(number, await client.fetch_accounts(label, credential, query, tally))
        except CloudflareError as error:
            return AccountList(walk.names, error.reason, str(error))
        listed = walk.judge()
        if listed.reason is None:
            ids = walk.names.keys()
            if walk.counted and (walk.pages == 1 or ids >= set(known)):
                return listed
            if ids == before:
                return listed
            before = ids
            text = "no two readings of the list of accounts in a row agreed"
            listed = AccountList(walk.names, Reason.PAGINATION_NOT_HONOURED, text)
        elif listed.reason in (Reason.NOT_FOUND, Reason.PAGE_LIMIT):
            break
        else:
            before = ()
    return listed


@dataclass(slots=True)
class _Walk:
    """One walk from page 1 to the end, with every sign of how far to trust it. Pure."""

    names: dict[str, str] = field(default_factory=dict)
    pages: int = 0
    _totals: set[int | None] = field(default_factory=set)
    _repeated: bool = False
    _misled: bool = False
    _ended: bool = False

    def note(self, number: int, page: ListedPage) -> None:
        """Take in the answer to the request for page `number`."""
        old = page.names.keys() & self.names.keys()
        nothing_new = bool(old) and old == page.names.keys()
        self._repeated |= bool(old)
        self._misled |= nothing_new or page.number not in {None, number}
        self.names |= page.names
        self.pages = number
        self._totals.add(page.total)
        whole = len(self.names) == page.total and number >= (page.pages or 0)
        self._ended = not page.names or whole

    @property
    def next_page(self) -> int | None:
        """The page to ask for, None where there is no more or no use."""
        over = self._ended or self._misled or self.pages >= MAX_PAGES
        return None if over else self.pages + 1

    @property
    def counted(self) -> bool:
        """Whether every page reported as many accounts as there were on all, none of them twice."""
        return self._totals == {len(self.names)} and not self._repeated

    def judge(self) -> AccountList:
        """Say what speaks against this walk by itself."""
        reported = max((total for total in self._totals if total is not None), default=0)
        if self._misled:
            text = "the API did not give the page of the list that was asked for"
            return AccountList(self.names, Reason.PAGINATION_NOT_HONOURED, text)
        if not self._ended:
            text = f"the list of accounts has more than {MAX_PAGES} pages"
            return AccountList(self.names, Reason.PAGE_LIMIT, text)
        if len(self.names) < reported:
            text = f"the API listed {len(self.names)} accounts, and reported {reported}"
            return AccountList(self.names, Reason.FEWER_THAN_REPORTED, text)
        if not self.names:
            text = f"the list of accounts is empty: the credential may lack {PERMISSION}"
            return AccountList(self.names, Reason.NOT_FOUND, text)
        return AccountList(self.names)
