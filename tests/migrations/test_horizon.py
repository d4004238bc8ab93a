"""The horizon of the history comes without changing an answer, and is not lost by a way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncer.store.engine import Database
from syncer.store.migrate import downgrade, schema_state, upgrade
from tests.integration.stored import change, fetch, opened

if TYPE_CHECKING:
    from collections.abc import Mapping

VIEWS = {
    "invoice_changes": "observed_at, invoice_id, change",
    "invoice_versions": "account_id, invoice_id, version",
}
DESCRIBED = """
SELECT relname, attname, format_type(atttypid, atttypmod) AS type
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relname IN ('invoice_changes', 'invoice_versions')
ORDER BY 1, attnum
"""


async def answers(database: Database) -> Mapping[str, object]:
    found = {
        view: await fetch(database, f"SELECT * FROM {view} ORDER BY {order}")
        for view, order in VIEWS.items()
    }
    return found | {"described": await fetch(database, DESCRIBED)}


async def test_without_a_horizon_the_views_answer_what_they_did(filled_dsn: str) -> None:
    async with opened(Database(filled_dsn)) as database:
        now = await answers(database)
        await downgrade(database, "0005")
        assert await answers(database) == now
        assert await fetch(database, "SELECT to_regclass('history_horizon') AS it") == [
            {"it": None}
        ]
        await upgrade(database)
        assert await answers(database) == now


async def test_a_horizon_is_still_known_after_a_way_down_and_up(database: Database) -> None:
    await change(database, "INSERT INTO history_horizon (since) VALUES ('2025-01-01 00:00+00')")
    before = await fetch(database, "SELECT * FROM history_horizon")
    await downgrade(database, "0005")
    await upgrade(database)
    assert await fetch(database, "SELECT * FROM history_horizon") == before


async def test_where_no_history_is_left_no_horizon_is_either(database: Database) -> None:
    await change(database, "INSERT INTO history_horizon (since) VALUES ('2025-01-01 00:00+00')")
    await downgrade(database, "base")
    assert (await schema_state(database)).current is None
    assert await fetch(database, "SELECT to_regclass('history_horizon') AS it") == [{"it": None}]
