"""What asking for an account has cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncer.errors import CloudflareError


@dataclass(slots=True)
class Tally:
    """What asking for one account has cost so far, and what went wrong with pages that never came.

    `errors` has the last one of each page, by its number, in the order in which they occurred.
    """

    requests: int = 0
    retries: int = 0
    errors: dict[str, CloudflareError] = field(default_factory=dict)

    @property
    def last_error(self) -> CloudflareError | None:
        """The last thing that went wrong and was not mended since."""
        return next(reversed(self.errors.values()), None)
