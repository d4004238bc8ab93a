"""Shorthand of the client's tests: a page that is asked for, and faults for the first requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from syncer.cloudflare.tally import Tally
from syncer.errors import CloudflareError
from tests.integration.walking import ACCOUNT, World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncer.account import Account
    from syncer.demo.account import SeenRequest
    from syncer.demo.faults import Fault

# What a sync asks for first.
QUERY = {"type": "all", "page": "1", "per_page": "50"}


async def fetch(world: World, account: Account = ACCOUNT, tally: Tally | None = None) -> int:
    page = await world.client.fetch_page(account, QUERY, tally or Tally())
    return len(page.records)


async def failing(world: World, account: Account = ACCOUNT) -> tuple[CloudflareError, Tally]:
    tally = Tally()
    with pytest.raises(CloudflareError) as caught:
        await fetch(world, account, tally)
    return caught.value, tally


def play(world: World, faults: Sequence[Fault | None]) -> None:
    """Give the first requests these faults, one each, and the rest none."""

    def script(nth: int, _seen: SeenRequest) -> Fault | None:
        return faults[nth - 1] if nth <= len(faults) else None

    world.account.script = script
