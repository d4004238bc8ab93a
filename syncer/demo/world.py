"""The demo's five accounts, and what happens to them between two syncs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from syncer.demo.account import SimulatedAccount
from syncer.demo.answers import Settings
from syncer.demo.faults import Fault, Throttled
from syncer.demo.invoices import DEMO_DAY, make_history, make_invoice, settled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncer.demo.account import Script, SeenRequest

# Links that differ at each fetch, as Stripe issues them: no reason to call an invoice changed.
DEMO_SETTINGS: Final = Settings(pdf_links="anew")


@dataclass(frozen=True, slots=True)
class DemoAccount:
    """An account of the demo: its name and token for the configuration, and its simulation."""

    name: str
    token: str = field(repr=False)
    simulated: SimulatedAccount


@dataclass(frozen=True, slots=True)
class DemoChange:
    """What `change_world` did: two invoice ids of one account."""

    account: DemoAccount
    paid_id: str
    appeared_id: str


def demo_world() -> tuple[DemoAccount, ...]:
    """Make five accounts of different sizes and currencies, the same ones at each start.

    The token of `research` lacks the permission; `tokyo` is throttled once, on its second page.
    """
    production = _account("production", 260, "usd")
    staging = _account("staging", 57, "eur")
    research = _account("research", 12, "usd")
    tokyo = _account("tokyo", 130, "jpy")
    kuwait = _account("kuwait", 3, "kwd")
    research.simulated.logins, research.simulated.powerless = set(), {research.token}
    tokyo.simulated.script = throttled_once(page=2)
    return production, staging, research, tokyo, kuwait


def change_world(world: Sequence[DemoAccount]) -> DemoChange:
    """Pay the oldest open invoice of the first account, and let a new one appear.

    The one that is paid is far down the list: whoever stops at the first invoice that they have
    seen before misses it.
    """
    account = world[0]
    invoices = account.simulated.invoices
    position = max(i for i, invoice in enumerate(invoices) if invoice["status"] == "open")
    paid = invoices[position] = settled(invoices[position])
    new = make_invoice(account.name, -1, status="open", created_at=DEMO_DAY + timedelta(hours=6))
    invoices.insert(0, new)
    return DemoChange(account, paid["id"], new["id"])


def throttled_once(*, page: int, retry_after_s: int = 1) -> Script:
    """Make a script that refuses the first request for this page with 429 and `Retry-After`."""
    waiting = True

    def script(_nth: int, seen: SeenRequest) -> Fault | None:
        nonlocal waiting
        if not waiting or seen.query.get("page") != str(page):
            return None
        waiting = False
        return Throttled(retry_after_s)

    return script


def _account(name: str, invoices: int, currency: str) -> DemoAccount:
    account_id = hashlib.sha256(name.encode()).hexdigest()[:32]
    token = f"demo-{name}"
    history = make_history(name, invoices, currency=currency)
    return DemoAccount(name, token, SimulatedAccount(account_id, {token}, invoices=history))
