"""Each panel of the Grafana dashboard asks what it is named for, as the role made for it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest

from tests.documents import ROOT
from tests.integration.roles import PASSWORD, dsn_as
from tests.servers import administer

if TYPE_CHECKING:
    from collections.abc import Iterator

GRAFANA = ROOT / "deploy/grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards/syncer.json").read_text())
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"]}
SPEND = "Spend over time by account ($currency)"
EXACT_SPEND = "Spend by month, account and currency"
LARGEST = "Open amounts by account ($currency), the largest 20"
EXACT_OPEN = "Open amounts of every currency"


@pytest.fixture
def grafana(filled_dsn: str) -> Iterator[str]:
    """The role of grant.sql under a name of its own; its DSN."""
    name = f"syncer_test_{uuid4().hex}"
    granted = re.sub(r"\bgrafana\b", name, (GRAFANA / "grant.sql").read_text())
    try:
        administer(filled_dsn, granted)
        administer(filled_dsn, f"ALTER ROLE {name} PASSWORD '{PASSWORD}'")
        yield dsn_as(name, filled_dsn)
    finally:
        administer(filled_dsn, f"DROP OWNED BY {name}")
        administer(filled_dsn, f"DROP ROLE {name}")


def expanded(sql: str, currency: str = "usd") -> str:
    """Do what Grafana does with its macros, up to the first bracket, and a variable's format."""
    period = "'2000-01-01T00:00:00.123456789Z' AND '2100-01-01T00:00:00Z'"
    sql = re.sub(r"\$__timeFilter\(([^)]*)\)", rf"\1 BETWEEN {period}", sql)
    group = r'floor(extract(epoch from \1)/86400)*86400 AS "time"'
    sql = re.sub(r"\$__timeGroupAlias\(([^,)]*), '1d'\)", group, sql)
    sql = sql.replace("${currency:sqlstring}", f"'{currency}'")
    assert "$" not in sql
    return sql


async def ask(dsn: str, sql: str) -> list[dict[str, Any]]:
    """Ask a server that is far from UTC."""
    connection = await asyncpg.connect(dsn, server_settings={"timezone": "Pacific/Auckland"})
    try:
        return [dict(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


async def answer(dsn: str, title: str) -> list[dict[str, Any]]:
    (target,) = PANELS[title]["targets"]
    assert target["datasource"] == {"type": "postgres", "uid": "syncer"}
    return await ask(dsn, expanded(target["rawSql"]))


async def test_every_panel_answers_from_the_demos_data(grafana: str, filled_dsn: str) -> None:
    answers = {title: await answer(grafana, title) for title in PANELS}
    assert {title: list(rows[0]) for title, rows in answers.items()} == {
        "Stale accounts": ["stale"],
        "Freshness: which figures can be relied on": [
            "account",
            "stale",
            "complete_as_of",
            "age",
            "last_status",
            "last_error_kind",
            "last_error",
        ],
        SPEND: ["time", "metric", "paid"],
        LARGEST: ["account", "owed"],
        EXACT_OPEN: ["account", "currency", "invoices", "owed"],
        "Outcomes of runs by day": ["time", "metric", "runs"],
        EXACT_SPEND: ["month", "account", "currency", "paid"],
        "Change feed": ["observed_at", "account", "invoice_id", "change"],
    }
    factor = "amount_remaining * 0.01"
    where = "currency = 'usd' AND missing_since IS NULL"
    (money,) = await ask(
        filled_dsn,
        f"""SELECT sum({factor}) FILTER (WHERE status = 'open') AS owed,
        sum(amount_paid * 0.01) AS paid FROM invoices WHERE {where}""",
    )
    owed = answers[LARGEST]
    assert sum(row["owed"] for row in owed) == money["owed"] > 0
    every = answers[EXACT_OPEN]
    assert total(every, "owed", "USD") == money["owed"]
    assert sum(row["paid"] for row in answers[SPEND]) == money["paid"]
    assert total(answers[EXACT_SPEND], "paid", "USD") == money["paid"]
    (counts,) = await ask(
        filled_dsn,
        """SELECT (SELECT count(*) FROM sync_runs) AS runs,
        (SELECT count(*) FROM sync_state) AS accounts,
        (SELECT count(*) FROM invoices) + (SELECT count(*) FROM invoice_history) AS changes""",
    )
    assert sum(row["runs"] for row in answers["Outcomes of runs by day"]) == counts["runs"]
    freshness = answers["Freshness: which figures can be relied on"]
    assert len(freshness) == counts["accounts"]
    assert answers["Stale accounts"] == [{"stale": sum(row["stale"] for row in freshness)}]
    assert len(answers["Change feed"]) == min(counts["changes"], 200)


def total(rows: list[dict[str, Any]], column: str, currency: str) -> Decimal:
    return sum((Decimal(row[column]) for row in rows if row["currency"] == currency), Decimal(0))


async def test_series_have_the_columns_and_the_order_that_grafana_makes_lines_of(
    grafana: str,
) -> None:
    series = {title: panel for title, panel in PANELS.items() if panel["type"] == "timeseries"}
    assert len(series) == 2
    for title, panel in series.items():
        assert panel["targets"][0]["format"] == "time_series"
        rows = await answer(grafana, title)
        assert [*rows[0]][:2] == ["time", "metric"]
        assert len(rows[0]) == 3
        assert all(isinstance(row["metric"], str) for row in rows)
        assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)


async def test_a_month_begins_where_it_does_in_utc(grafana: str) -> None:
    months = {row["time"] for row in await answer(grafana, SPEND)}
    assert months == {datetime(2025, month, 1, tzinfo=UTC) for month in (8, 9, 10, 11)}


async def test_tables_show_every_digit_in_a_currencys_own_unit(grafana: str) -> None:
    """As text, for Grafana cuts what is behind the point of a number in a table."""
    owed = {
        (row["account"], row["currency"]): row["owed"] for row in await answer(grafana, EXACT_OPEN)
    }
    assert owed["kuwait", "KWD"] == "7.500"
    assert owed["tokyo", "JPY"] == "8000"
    assert owed["production", "USD"] == "260.00"
    for title in (EXACT_OPEN, EXACT_SPEND):
        (aligned,) = PANELS[title]["fieldConfig"]["overrides"]
        assert aligned["properties"] == [{"id": "custom.align", "value": "right"}]
        assert aligned["matcher"]["options"] in (await answer(grafana, title))[0]


async def test_a_chart_shows_one_currency(grafana: str) -> None:
    for title in (SPEND, LARGEST):
        (target,) = PANELS[title]["targets"]
        yen = await ask(grafana, expanded(target["rawSql"], "jpy"))
        assert {row.get("metric") or row["account"] for row in yen} == {"tokyo"}


async def test_where_nothing_was_ever_synced_nothing_is_called_fresh(
    grafana: str, filled_dsn: str
) -> None:
    await ask(filled_dsn, "DELETE FROM sync_state")
    assert await answer(grafana, "Stale accounts") == [{"stale": None}]
    (mapping,) = PANELS["Stale accounts"]["fieldConfig"]["defaults"]["mappings"]
    assert (mapping["options"]["match"], mapping["options"]["result"]["color"]) == ("null", "red")


def test_panels_stand_beside_each_other() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    taken = {
        (x, y)
        for at in places
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    }
    assert len(taken) == sum(at["w"] * at["h"] for at in places)
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


async def test_the_currencies_to_choose_from_are_those_there_are(grafana: str) -> None:
    (variable,) = DASHBOARD["templating"]["list"]
    found = [row["currency"] for row in await ask(grafana, variable["query"])]
    assert found == sorted(found)
    assert {"usd", "jpy", "kwd"} <= set(found)


@pytest.mark.parametrize(
    "forbidden",
    [
        "SELECT invoice_pdf FROM invoices",
        "SELECT after FROM invoice_changes",
        "SELECT payload FROM rejected_invoices",
        "DELETE FROM sync_runs",
        "CREATE TABLE mine ()",
    ],
)
async def test_the_role_sees_no_links_and_writes_nothing(grafana: str, forbidden: str) -> None:
    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError)):
        await ask(grafana, forbidden)


def test_the_data_source_is_the_one_that_the_dashboard_asks() -> None:
    source = (GRAFANA / "provisioning/datasources/syncer.yaml").read_text()
    assert re.findall(r"^    (?:uid|type|user): (\w+)$", source, re.MULTILINE) == [
        "syncer",
        "postgres",
        "grafana",
    ]
