"""A migration of an empty database that is killed or asked to stop, wherever it is.

Its hundreds of statements are one transaction, so it matters which of them the server has seen, not
which part of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import pytest

from syncer.store.engine import Database
from syncer.store.migrate import upgrade
from tests.crashes.points import (
    Strike,
    all_points,
    around_commits,
    ask_to_stop,
    between_flights,
    kill,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.crashes.points import Act, Point
    from tests.crashes.scenario import Scenario

STRIDE = 97
# Relations, and the revisions that are recorded.
Schema: TypeAlias = tuple[list[str], list[str]]
NOTHING: Schema = ([], [])
# Every column and index with what is said of it, and the revision.
SCHEMA = """
SELECT array_agg(
    concat_ws(' ', relname, relkind, attname, atttypid::regtype, col_description(oid, attnum))
    ORDER BY relname, attnum
) AS found
FROM pg_class JOIN pg_attribute ON attrelid = oid
WHERE relnamespace = 'public'::regnamespace AND attnum > 0
"""
VERSIONS = "SELECT array_agg(version_num) FROM alembic_version"


async def schema_of(here: Scenario) -> Schema:
    found = await here.control.fetchval(SCHEMA) or []
    return found, await here.control.fetchval(VERSIONS) if found else []


async def empty(here: Scenario) -> None:
    await here.control.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    here.restart()


async def rehearse(here: Scenario) -> list[Point]:
    """Migrate without anything happening."""
    async with here.syncer("migrate") as process:
        assert await process.wait() == 0
    assert await here.leftovers() == {}
    return all_points(here.traffic.messages)


async def examine(
    here: Scenario, act: Act, points: Iterable[Point], *, left: Schema | None = None
) -> None:
    """Act at each point: what is there then is nothing or all, and the next one sees to the rest.

    `left` says which of the two it has to be, None where it may be either.
    """
    head = await schema_of(here)
    for point in points:
        await empty(here)
        strike = Strike(act, point)
        here.traffic.watch = strike
        async with here.syncer("migrate") as process:
            strike.aim(process)
            code = await process.wait()
        assert strike.struck_at is not None, point
        assert await here.leftovers() == {}, point
        found = await schema_of(here)
        assert found in ((NOTHING, head) if left is None else (left,)), point
        assert code in ((-9, 0) if act is kill else (0, 1)), point
        # Whoever is told that it is done can rely on it.
        assert code or found == head, point
        assert not [line for line in process.lines if "Traceback" in line], process.lines
        await migrate_again(here)
        assert await schema_of(here) == head, point


async def migrate_again(here: Scenario) -> None:
    """Migrate in this process, past the proxies."""
    database = Database(here.program.dsn)
    await upgrade(database)
    await database.close()


async def test_a_commit_decides_between_nothing_and_head(empty_here: Scenario) -> None:
    before, after, *_ = around_commits(await rehearse(empty_here))
    head = await schema_of(empty_here)
    await examine(empty_here, kill, [before], left=NOTHING)
    await examine(empty_here, kill, [after], left=head)


@pytest.mark.slow
async def test_a_schema_is_whole_or_not_there_wherever_its_migration_ends(
    empty_here: Scenario,
) -> None:
    points = await rehearse(empty_here)
    some = between_flights(points)[::STRIDE]
    await examine(empty_here, kill, [*around_commits(points), *some])
    await examine(empty_here, ask_to_stop, [*around_commits(points), *some])


@pytest.mark.long
@pytest.mark.parametrize("act", [kill, ask_to_stop])
async def test_a_schema_is_whole_or_not_there_at_every_point(
    empty_here: Scenario, act: Act
) -> None:
    points = await rehearse(empty_here)
    await examine(empty_here, act, [*around_commits(points), *between_flights(points)])
