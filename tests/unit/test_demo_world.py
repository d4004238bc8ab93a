"""The demo's accounts and invoices: plausible, and the same at each start."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from syncer.demo.budget import Budget, Limit
from syncer.demo.invoices import DEMO_DAY, make_history, make_invoice
from syncer.demo.world import change_world, demo_world

HISTORIES = [account.simulated.invoices for account in demo_world()]
INVOICES: list[dict[str, Any]] = [invoice for history in HISTORIES for invoice in history]


def test_two_starts_make_the_same_world() -> None:
    first, second = demo_world(), demo_world()
    assert [account.simulated.invoices for account in first] == [
        account.simulated.invoices for account in second
    ]
    assert [account.simulated.id for account in first] == [
        account.simulated.id for account in second
    ]


def test_the_accounts_differ_in_size_currency_and_access() -> None:
    shapes = [
        (
            account.name,
            len(account.simulated.invoices),
            account.simulated.invoices[0]["currency"],
            account.token in account.simulated.logins,
        )
        for account in demo_world()
    ]
    assert shapes == [
        ("production", 260, "usd", True),
        ("staging", 57, "eur", True),
        ("research", 12, "usd", False),
        ("tokyo", 130, "jpy", True),
        ("kuwait", 3, "kwd", True),
    ]


def test_a_token_is_in_no_repr() -> None:
    assert "demo-production" not in repr(demo_world())


def test_ids_are_unique_and_look_like_stripes() -> None:
    ids = [invoice["id"] for invoice in INVOICES]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"in_1S[0-9A-Za-z]{22}", one) for one in ids)
    assert all(re.fullmatch(r"[0-9a-f]{32}", account.simulated.id) for account in demo_world())


def test_created_falls_from_the_fixed_day_on() -> None:
    for history in HISTORIES:
        created = [invoice["created"] for invoice in history]
        assert created == sorted(set(created), reverse=True)
        assert datetime.fromtimestamp(created[0], UTC) == DEMO_DAY


def test_amounts_and_link_follow_from_the_status() -> None:
    for invoice in INVOICES:
        paid = invoice["amount_due"] if invoice["status"] == "paid" else 0
        assert invoice["amount_due"] > 0
        assert invoice["amount_paid"] == paid
        assert invoice["amount_remaining"] == invoice["amount_due"] - paid
        assert (invoice["invoice_pdf"] is None) == (invoice["status"] == "draft")
        assert invoice["attempted"] == (invoice["attempt_count"] > 0)


def test_every_status_and_origin_occurs() -> None:
    assert {invoice["status"] for invoice in INVOICES} == {
        "draft",
        "open",
        "paid",
        "void",
        "uncollectible",
    }
    assert {invoice["invoice_origin"] for invoice in INVOICES} == {"auto", "manual"}


def test_the_change_pays_an_invoice_far_down_and_adds_one_on_top() -> None:
    world = demo_world()
    account = world[0].simulated
    before = {invoice["id"]: invoice for invoice in account.invoices}
    change = change_world(world)
    after = {invoice["id"]: invoice for invoice in account.invoices}
    assert after.keys() - before.keys() == {change.appeared_id}
    assert [one for one in before if before[one] != after[one]] == [change.paid_id]
    assert account.invoices[0]["id"] == change.appeared_id
    assert account.invoices[0]["created"] > account.invoices[1]["created"]
    assert [invoice["id"] for invoice in account.invoices].index(change.paid_id) > 200
    assert (before[change.paid_id]["status"], after[change.paid_id]["status"]) == ("open", "paid")
    assert after[change.paid_id]["amount_remaining"] == 0
    assert change.account.name == "production"


def test_an_unknown_currency_takes_the_usual_amounts() -> None:
    assert make_invoice("seed", currency="chf")["amount_due"] in (1000, 2500, 5000, 10000)


def test_a_history_is_json() -> None:
    assert json.loads(json.dumps(make_history("seed", 2))) == make_history("seed", 2)


def test_the_budget_blocks_for_a_whole_window_after_it_was_exceeded() -> None:
    budget = Budget([Limit("default", 2, 300)], now=0.0)
    assert [budget.spend(1.0), budget.spend(2.0)] == [None, None]
    assert budget.headers(2.0)["Ratelimit"] == '"default";r=0;t=298'
    assert budget.spend(10.5) == 300
    assert budget.spend(300.0) == 11, "the window has lapsed, the block has not"
    assert budget.headers(300.0)["Ratelimit"] == '"default";r=0;t=11'
    assert budget.spend(310.5) is None
    assert budget.headers(310.5)["Ratelimit"] == '"default";r=1;t=300'


def test_a_budget_that_is_not_exceeded_starts_anew_with_each_window() -> None:
    budget = Budget([Limit("default", 1, 60)], now=0.0)
    assert [budget.spend(0.0), budget.spend(60.0), budget.spend(120.0)] == [None, None, None]


def test_the_strictest_of_several_limits_decides_and_all_are_reported() -> None:
    budget = Budget([Limit("burst", 1, 10), Limit("default", 100, 300)], now=0.0)
    assert budget.spend(0.0) is None
    assert budget.spend(0.0) == 10
    assert budget.headers(0.0) == {
        "Ratelimit": '"burst";r=0;t=10, "default";r=98;t=300',
        "Ratelimit-Policy": '"burst";q=1;w=10, "default";q=100;w=300',
    }


def test_without_limits_nothing_is_refused() -> None:
    assert Budget([], now=0.0).spend(0.0) is None
