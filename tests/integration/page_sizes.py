"""Walks that choose the size of their pages, and the sizes that they ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncer.cloudflare.walk import Walk, WalkSettings

if TYPE_CHECKING:
    from tests.integration.walking import World

AUTO = WalkSettings(per_page="auto")


def asked(world: World) -> list[tuple[int, int]]:
    """Page and size of each request since the last look, in order of the pages."""
    seen = [
        (int(seen.query["page"]), int(seen.query.get("per_page", "0")))
        for seen in world.api.requests
    ]
    world.api.requests.clear()
    return sorted(seen, key=lambda request: (request[0], -request[1]))


async def whole(world: World, settings: WalkSettings = AUTO) -> Walk:
    """Walk, and expect every invoice to be proven."""
    walk = await world.walk(settings)
    assert (walk.reason, walk.error) == (None, None)
    assert walk.listed == world.ids
    return walk
