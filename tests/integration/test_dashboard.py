"""Each panel of the Grafana dashboard asks what it is named for, as the role made for it."""

from __future__ import annotations

import json
import re
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


def expanded(sql: str) -> str:
    """Do what Grafana documents of its macros and of a variable's format."""
    period = "'2000-01-01T00:00:00Z' AND '2100-01-01T00:00:00Z'"
    sql = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 BETWEEN {period}", sql)
    group = r'floor(extract(epoch from \1)/86400)*86400 AS "time"'
    sql = re.sub(r"\$__timeGroupAlias\((\w+), '1d'\)", group, sql)
    sql = sql.replace("${currency:sqlstring}", "'usd'")
    assert "$" not in sql
    return sql


async def ask(dsn: str, sql: str) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(dsn)
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
        "Spend over time by account ($currency)": ["time", "metric", "paid"],
        "Open amounts by account ($currency)": ["account", "owed"],
        "Open amounts of every currency": ["account", "currency", "invoices", "owed"],
        "Outcomes of runs by day": ["time", "metric", "runs"],
        "Change feed": ["observed_at", "account", "invoice_id", "change"],
    }
    factor = "amount_remaining * 0.01"
    where = "currency = 'usd' AND missing_since IS NULL"
    (money,) = await ask(
        filled_dsn,
        f"""SELECT sum({factor}) FILTER (WHERE status = 'open') AS owed,
        sum(amount_paid * 0.01) AS paid FROM invoices WHERE {where}""",
    )
    owed = answers["Open amounts by account ($currency)"]
    assert sum(row["owed"] for row in owed) == money["owed"] > 0
    every = answers["Open amounts of every currency"]
    assert sum(row["owed"] for row in every if row["currency"] == "USD") == money["owed"]
    assert (
        sum(row["paid"] for row in answers["Spend over time by account ($currency)"])
        == (money["paid"])
    )
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
