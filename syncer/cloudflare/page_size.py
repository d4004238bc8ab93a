"""How many invoices to ask for at once, where the API is to say how many it grants.

The largest `per_page` is documented nowhere. So the most is asked for, and what comes of it is kept
for a day: asking again at each walk would cost a request of every account wherever it is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from syncer.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncer.cloudflare.wire import Page

log = structlog.get_logger()

# Observed to work: what any other size has to fall back to.
KNOWN: Final = 50
LARGEST: Final = 1000
# A refusal of the endpoint's rules stays as it is; an hour of trouble, taken for one, does not.
ASK_AGAIN_S: Final = 86_400.0
# What can come of pages that are too large for the API, for the time, or for what a body may have.
BLAMED: Final = frozenset(
    {
        Reason.REQUEST_REJECTED,
        Reason.NOT_FOUND,
        Reason.UNAVAILABLE,
        Reason.MALFORMED_RESPONSE,
        Reason.PAGINATION_NOT_HONOURED,
        Reason.FEWER_THAN_REPORTED,
    }
)


def granted_size(page: Page, asked: int) -> int:
    """Tell from a page how many invoices the API grants where so many were asked for.

    Whatever the page says has to agree with what it holds, or only the known size is sure.
    """
    shown = {page.per_page} - {None}
    if page.has_more:
        shown.add(page.size)
    if not shown:
        return asked
    size = max(size or 0 for size in shown)
    return size if len(shown) == 1 and KNOWN <= size <= asked else KNOWN


class GrantedPageSize:
    """What the API has granted so far: one for all accounts, since it is the endpoint's rule.

    `clock` is monotonic in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._size = LARGEST
        self._learned_at = 0.0

    @property
    def size(self) -> int:
        """The size to ask for at the beginning of a walk."""
        if self._clock() - self._learned_at >= ASK_AGAIN_S:
            self._size = LARGEST
        return self._size

    def learn(self, size: int) -> None:
        """Note that no more than this is granted."""
        if size < self.size:
            self._size = size
            self._learned_at = self._clock()
            log.info("page_size.learned", per_page=size)
