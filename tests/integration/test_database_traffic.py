"""How often a run asks the database, where nothing has changed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from syncer.store.engine import Database
from tests.integration.storing import reaching
from tests.proxies.frames import PostgresFrames
from tests.proxies.proxy import Proxy, Traffic
from tests.proxies.servers import open_postgres, through

if TYPE_CHECKING:
    from syncer.sync.run import RunResult
    from tests.integration.running import Site

# Lock and unlock; begin, two looks, commit; begin, fence, digests, record, commit.
ROUND_TRIPS = 2 + 4 + 5


def round_trips(traffic: Traffic) -> int:
    """How often the server was waited for."""
    return sum(message.frame.kind == "ReadyForQuery" for message in traffic.messages)


async def test_an_account_in_which_nothing_changed_costs_few_round_trips(
    here: Site, database_dsn: str
) -> None:
    traffic = Traffic()

    async def run(there: Site) -> RunResult:
        return await there.run(trigger="schedule", tick=datetime.now(UTC))

    async with (
        Proxy("database", traffic, PostgresFrames, lambda: open_postgres(database_dsn)) as proxy,
        reaching(here, Database(through(database_dsn, proxy.port), pool_size=1)) as there,
    ):
        costs: list[int] = []
        for number in range(2):
            here.add(f"account-{number}", 60)
            # The first time it is stored, the second time its connection learns the statements.
            for _ in range(2):
                await run(there)
            traffic.restart()
            result = await run(there)
            assert {record.unchanged for record in result.records} == {60}
            costs.append(round_trips(traffic))
    assert costs[1] - costs[0] == ROUND_TRIPS
