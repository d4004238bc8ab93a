"""The sums in docs/queries.md, once more from what the story's API lists, in Python and no SQL."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from syncer.demo.story import STORY_NOW, chapters, make_company
from tests.documents import blocks, section
from tests.written.answers import QUERIES

if TYPE_CHECKING:
    from collections.abc import Callable

DIGITS = {"usd": 2, "eur": 2, "jpy": 0, "kwd": 3}
OWED = "### What do we owe, and where?"
FAILED = "### Which payments failed, and how old are they?"
SPENT = "### What did we spend per month and account?"
TOPPED_UP = "### How much of it topped itself up?"
AT_CLOSE = "### What was owed at the end of the month?"

Listed = list[tuple[str, dict[str, Any]]]


def seen_by(moment: datetime) -> Listed:
    """What an observer of the API knows who asks when the story's runs do: account and invoice."""
    company = make_company()
    known: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in company}
    for chapter in chapters():
        if chapter.at >= moment:
            break
        for account in company.values():
            account.make_until(chapter.at)
        chapter.happens(company)
        for name, account in company.items():
            if account.token in account.simulated.logins:
                before = known[name]
                # A record that cannot be read says nothing new of an invoice.
                known[name] = {
                    one["id"]: one if "currency" in one else before[one["id"]]
                    for one in account.simulated.invoices
                    if "currency" in one or one["id"] in before
                }
    # The company forgets this one, which then is known by its id.
    names = {name: name for name in company} | {"former": company["former"].simulated.id}
    return [(names[name], one) for name, listed in known.items() for one in listed.values()]


def major(currency: str, *minor: int) -> str:
    return f"{Decimal(sum(minor)).scaleb(-DIGITS[currency]):f}"


def answer(heading: str) -> list[tuple[str, ...]]:
    """The rows that the page shows below a heading."""
    (text,) = (
        block.text
        for block in blocks(QUERIES)
        if block.language == "text" and block.text in section(QUERIES, heading)
    )
    _head, _rule, *rows = text.splitlines()
    return [tuple(cell.strip() for cell in row.split("|")) for row in rows]


def owed(listed: Listed) -> list[tuple[str, ...]]:
    remaining = grouped(
        listed,
        lambda name, one: (name, one["currency"]) if one["status"] == "open" else None,
        "amount_remaining",
    )
    return [
        (
            name,
            currency,
            str(len(amounts)),
            major(currency, *(one for one in amounts if one > 0)),
            major(currency, *(one for one in amounts if one < 0)),
            major(currency, *amounts),
        )
        for (name, currency), amounts in sorted(remaining.items())
    ]


def grouped(
    listed: Listed, key: Callable[[str, dict[str, Any]], tuple[str, ...] | None], amount: str
) -> dict[tuple[str, ...], list[int]]:
    groups = defaultdict(list)
    for name, one in listed:
        group = key(name, one)
        if group is not None:
            groups[group].append(one[amount])
    return groups


@pytest.mark.parametrize(
    ("heading", "moment"), [(OWED, STORY_NOW), (AT_CLOSE, datetime(2025, 11, 1, tzinfo=UTC))]
)
def test_what_is_owed_now_and_what_was(heading: str, moment: datetime) -> None:
    assert answer(heading) == owed(seen_by(moment))


def test_what_was_spent() -> None:
    def month(name: str, one: dict[str, Any]) -> tuple[str, ...] | None:
        created = datetime.fromtimestamp(one["created"], UTC)
        return (f"{created:%Y-%m-01}", name, one["currency"]) if created.month >= 10 else None

    paid = grouped(seen_by(STORY_NOW), month, "amount_paid")
    expected = [(*group, major(group[2], *amounts)) for group, amounts in paid.items()]
    assert sorted(answer(SPENT)) == sorted(expected)


def test_what_topped_itself_up_is_all_that_was_paid() -> None:
    listed = seen_by(STORY_NOW)
    paid = grouped(
        listed,
        lambda _, one: (one["invoice_origin"], one["currency"]) if one["amount_paid"] else None,
        "amount_paid",
    )
    assert sorted(answer(TOPPED_UP)) == sorted(
        (origin, currency, str(len(amounts)), major(currency, *amounts))
        for (origin, currency), amounts in paid.items()
    )
    dollars = sum(one["amount_paid"] for _, one in listed if one["currency"] == "usd")
    shown = sum(Decimal(row[3]) for row in answer(TOPPED_UP) if row[1] == "usd")
    assert f"{shown}" == major("usd", dollars)


def test_which_payments_failed() -> None:
    expected = [
        (
            name,
            one["id"],
            str(one["attempt_count"]),
            major(one["currency"], one["amount_remaining"]),
            one["currency"],
            str((STORY_NOW - datetime.fromtimestamp(one["created"], UTC)).days),
        )
        for name, one in seen_by(STORY_NOW)
        if one["status"] == "open" and one["attempted"] and one["amount_remaining"] > 0
    ]
    assert sorted(answer(FAILED)) == sorted(expected)
