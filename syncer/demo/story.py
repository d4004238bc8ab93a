"""The invoices of an invented company over three weeks, and what goes wrong with them meanwhile.

The same ones at each start: nine accounts in four currencies, walked seven times. It has one of
everything that the tables can tell of; `syncer.demo.fill` brings it into a database.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from syncer.demo.account import SimulatedAccount
from syncer.demo.faults import EdgeError, Rewrite
from syncer.demo.invoices import make_history, settled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from syncer.demo.account import Script, SeenRequest
    from syncer.demo.faults import Fault, JsonObject
    from syncer.store.journal import Trigger

# When the story is told, an hour after its last run.
STORY_NOW: Final = datetime(2025, 11, 20, 7, tzinfo=UTC)
# By name: invoices in all, currency, and the time from one to the next.
_ACCOUNTS: Final[dict[str, tuple[int, str, timedelta]]] = {
    "production": (75, "usd", timedelta(hours=30)),
    "staging": (18, "eur", timedelta(hours=70)),
    "tokyo": (26, "jpy", timedelta(hours=60)),
    "kuwait": (9, "kwd", timedelta(hours=130)),
    "research": (12, "usd", timedelta(hours=110)),
    "archive": (10, "usd", timedelta(hours=200)),
    "sandbox": (0, "usd", timedelta(days=1)),
    "acquired": (6, "usd", timedelta(days=4)),
    "former": (4, "eur", timedelta(days=20)),
}

Edit: TypeAlias = "Callable[[JsonObject], JsonObject]"


@dataclass(slots=True)
class StoryAccount:
    """An account of the company, and the invoices that are still to be made, newest first."""

    name: str
    token: str = field(repr=False)
    simulated: SimulatedAccount
    future: list[JsonObject] = field(repr=False)

    def make_until(self, at: datetime) -> None:
        """Let the API list what was created by then."""
        made = [invoice for invoice in self.future if invoice["created"] <= at.timestamp()]
        self.future = self.future[: len(self.future) - len(made)]
        self.simulated.invoices[:0] = made

    def edit(self, position: int, edit: Edit) -> None:
        """Change the invoice at this position, 0 for the newest that is listed."""
        invoices = self.simulated.invoices
        invoices[position] = edit(invoices[position])

    def position_of(self, invoice_id: str) -> int:
        """Where the invoice is in the list by now."""
        return [invoice["id"] for invoice in self.simulated.invoices].index(invoice_id)


Company: TypeAlias = "Mapping[str, StoryAccount]"


@dataclass(frozen=True, slots=True)
class Chapter:
    """One run: when it begins, why, and what the API's side of the world is like by then."""

    at: datetime
    trigger: Trigger
    happens: Callable[[Company], None]


def make_company() -> dict[str, StoryAccount]:
    """Make the accounts, by name, as they are before anything was created."""
    company = {}
    for name, (count, currency, every) in _ACCOUNTS.items():
        account_id = hashlib.sha256(name.encode()).hexdigest()[:32]
        token = f"story-{name}"
        newest_at = STORY_NOW - timedelta(hours=4)
        history = make_history(name, count, currency=currency, newest_at=newest_at, every=every)
        simulated = SimulatedAccount(account_id, {token})
        company[name] = StoryAccount(name, token, simulated, history)
    return company


def chapters() -> tuple[Chapter, ...]:
    """Tell the story from the first run to the last; each chapter builds on those before it."""
    return (
        Chapter(_at(10, 30, 6), "start", _the_first_load),
        Chapter(_at(10, 31, 23), "schedule", _the_month_ends),
        Chapter(_at(11, 3, 6), "schedule", _payments_arrive_late),
        Chapter(_at(11, 10, 6), "schedule", _a_token_loses_its_permission),
        Chapter(_at(11, 17, 6), "schedule", _a_record_cannot_be_read),
        Chapter(_at(11, 19, 6), "schedule", _the_day_before),
        Chapter(_at(11, 20, 6), "command", _the_last_day),
    )


def _the_first_load(company: Company) -> None:
    production, tokyo, kuwait = company["production"], company["tokyo"], company["kuwait"]
    # A payment that fails week after week, one that fails once, and one that nobody tried.
    production.edit(3, _unpaid(attempts=1))
    production.edit(5, _unpaid(attempts=2))
    production.edit(0, _drafted)
    company["staging"].edit(1, _unpaid(attempts=1))
    company["research"].edit(2, _unpaid(attempts=3))
    # A draft that is never finalised, an invoice paid in part, and money that comes back.
    tokyo.edit(0, _drafted)
    tokyo.edit(4, _unpaid(attempts=1, paid=500))
    credit = {"amount_due": -7500, "amount_paid": 0, "amount_remaining": -7500}
    kuwait.edit(1, _with(**credit, status="open", description="Credit for a double top-up"))
    kuwait.edit(2, _unpaid(attempts=1))
    # The API promises no sums that agree, and no end to its fields.
    written_off = {"amount_paid": 2000, "amount_remaining": 0}
    company["archive"].edit(3, _with(**written_off, status="uncollectible"))
    company["archive"].simulated.script = _reports_more(by=2)
    company["staging"].edit(4, _with(discount={"code": "AUTUMN", "percent": 10}))
    company["acquired"].simulated.logins = set()


def _the_month_ends(company: Company) -> None:
    production = company["production"]
    production.edit(production.position_of(_draft(production)), _with(**_finalised(production)))
    company["staging"].edit(0, _unpaid(attempts=1))


def _payments_arrive_late(company: Company) -> None:
    production, tokyo = company["production"], company["tokyo"]
    late = _open(production, "attempt_count", 2)
    production.edit(production.position_of(late), settled)
    drafted = tokyo.position_of(_draft(tokyo))
    del tokyo.simulated.invoices[drafted]
    del company["former"].simulated.invoices[:]
    company["former"].simulated.logins = set()


def _a_token_loses_its_permission(company: Company) -> None:
    research, production = company["research"], company["production"]
    research.simulated.logins, research.simulated.powerless = set(), {research.token}
    failing = production.position_of(_open(production, "attempt_count", 1, oldest=True))
    production.edit(failing, _with(attempt_count=2))
    # One that is gone for a week.
    staging = company["staging"]
    staging.future.append(staging.simulated.invoices.pop(6))


def _a_record_cannot_be_read(company: Company) -> None:
    production, staging = company["production"], company["staging"]
    failing = production.position_of(_open(production, "attempt_count", 2))
    production.edit(failing, _with(attempt_count=3))
    staging.edit(1, _without("currency"))
    kuwait = company["kuwait"]
    kuwait.edit(kuwait.position_of(_open(kuwait, "attempt_count", 1)), settled)
    company["tokyo"].simulated.script = _unavailable_once()


def _the_day_before(company: Company) -> None:
    staging = company["staging"]
    staging.edit(staging.position_of(_open(staging, "attempt_count", 1, oldest=True)), _void)
    company["production"].edit(0, _unpaid(attempts=1))


def _the_last_day(company: Company) -> None:
    production, staging, tokyo = company["production"], company["staging"], company["tokyo"]
    failing = _open(production, "attempt_count", 3)
    production.edit(
        production.position_of(failing), _with(status="uncollectible", auto_advance=False)
    )
    staging.edit(staging.position_of(_open(staging, "attempt_count", 1)), settled)
    tokyo.edit(tokyo.position_of(_open(tokyo, "amount_paid", 500)), settled)


def _at(month: int, day: int, hour: int) -> datetime:
    return datetime(STORY_NOW.year, month, day, hour, tzinfo=UTC)


def _open(account: StoryAccount, name: str, value: int, *, oldest: bool = False) -> str:
    found = [
        str(invoice["id"])
        for invoice in account.simulated.invoices
        if invoice.get("status") == "open" and invoice[name] == value
    ]
    return found[-1 if oldest else 0]


def _draft(account: StoryAccount) -> str:
    drafts = (one for one in account.simulated.invoices if one["status"] == "draft")
    return str(next(drafts)["id"])


def _finalised(account: StoryAccount) -> JsonObject:
    link = f"https://pay.example.test/invoice/acct_{account.name}/live_finalised/pdf?s=ap"
    return {"status": "open", "attempted": True, "attempt_count": 1, "invoice_pdf": link}


def _with(**fields: Any) -> Edit:
    return lambda invoice: {**invoice, **fields}


def _without(name: str) -> Edit:
    return lambda invoice: {key: value for key, value in invoice.items() if key != name}


def _unpaid(*, attempts: int, paid: int = 0) -> Edit:
    def edit(invoice: JsonObject) -> JsonObject:
        amounts = {"amount_paid": paid, "amount_remaining": invoice["amount_due"] - paid}
        state = {"status": "open", "auto_advance": True, "attempt_count": attempts}
        return {**invoice, **amounts, **state}

    return edit


def _drafted(invoice: JsonObject) -> JsonObject:
    untried = {"attempted": False, "invoice_pdf": None, "status": "draft"}
    return {**_unpaid(attempts=0)(invoice), **untried}


def _void(invoice: JsonObject) -> JsonObject:
    return {**invoice, "status": "void", "auto_advance": False}


def _reports_more(*, by: int) -> Script:
    """Let the API report more invoices than it lists."""

    def edit(payload: JsonObject) -> JsonObject:
        for place in (payload["result"]["pagination"], payload["result_info"]):
            place["total_count"] += by
        return payload

    return lambda _nth, _seen: Rewrite(edit)


def _unavailable_once() -> Script:
    """Let the edge answer the next request instead of the API."""
    waiting = True

    def script(_nth: int, _seen: SeenRequest) -> Fault | None:
        nonlocal waiting
        waiting, was_waiting = False, waiting
        return EdgeError(502) if was_waiting else None

    return script
