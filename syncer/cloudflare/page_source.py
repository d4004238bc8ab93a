"""One account's pages, asked for as large and with as many parameters as the API takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncer.cloudflare.page_size import BLAMED, KNOWN, granted_size
from syncer.digests import NOTHING_KNOWN
from syncer.errors import CloudflareError, ParameterRefused

if TYPE_CHECKING:
    from syncer.account import Account
    from syncer.cloudflare.client import CloudflareClient
    from syncer.cloudflare.tally import Tally
    from syncer.cloudflare.walk import WalkSettings
    from syncer.cloudflare.wire import Page
    from syncer.digests import Known
    from syncer.errors import Reason


class PageSource:
    """Asks for an account's pages, as large and with as many parameters as the API takes."""

    def __init__(
        self,
        client: CloudflareClient,
        account: Account,
        settings: WalkSettings,
        tally: Tally,
        known: Known = NOTHING_KNOWN,
    ) -> None:
        self._client = client
        self._account = account
        self._settings = settings
        self._tally = tally
        self._known = known
        self._undocumented = ["page", "per_page"]
        self._smallest = False
        self._size = KNOWN

    @property
    def pageable(self) -> bool:
        """Whether the API takes the parameter `page`."""
        return "page" in self._undocumented

    async def first_page(self) -> Page:
        """Fetch page 1, smaller or with fewer parameters where the API refuses it.

        It settles the size of the pages behind it: page 2 of another size is another page.
        """
        self._size = self._size_to_ask()
        shrunk = False
        while True:
            try:
                page = await self.page(1)
            except CloudflareError as error:
                if self.shrink(error.reason):
                    shrunk = True
                elif isinstance(error, ParameterRefused) and self._undocumented:
                    self._undocumented.pop()
                else:
                    raise
            else:
                if shrunk:
                    self.confirm()
                if self._settles_size(page):
                    return page

    async def page(self, number: int) -> Page:
        """Fetch one page, counted from 1."""
        values = {"page": str(number), "per_page": str(self._size)}
        query = {"type": self._settings.invoice_type}
        query |= {name: values[name] for name in self._undocumented}
        page = await self._client.fetch_page(self._account, query, self._tally, self._known)
        if self._may_shrink:
            self._client.granted.learn(granted_size(page, self._size))
        return page

    def shrink(self, reason: Reason) -> bool:
        """Ask for the known size from now on; False where it is asked for, or would not help."""
        if not self._may_shrink or reason not in BLAMED:
            return False
        self._smallest = True
        self._size = KNOWN
        return True

    def confirm(self) -> None:
        """Note that the known size, to which this has shrunk, works where a larger did not."""
        self._client.granted.learn(KNOWN)

    @property
    def _may_shrink(self) -> bool:
        return self._settings.per_page == "auto" and self._size > KNOWN

    def _size_to_ask(self) -> int:
        if self._settings.per_page != "auto":
            return self._settings.per_page
        return KNOWN if self._smallest else self._client.granted.size

    def _settles_size(self, page: Page) -> bool:
        """Whether the pages behind this first one can be asked so that they follow on it."""
        if not self._may_shrink:
            return True
        granted = granted_size(page, self._size)
        follows = not page.has_more or granted == page.size
        self._size = granted
        return follows
