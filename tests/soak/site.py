"""Accounts that share credentials, the API that serves them, and the daemon's configuration."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncer.demo.account import SimulatedAccount
from syncer.demo.answers import Settings
from syncer.demo.api import SimulatedApi
from syncer.demo.budget import Limit
from syncer.demo.invoices import make_history
from tests.soak.weather import Climate, Weather

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from syncer.demo.account import SeenRequest
    from syncer.demo.delivery import SentResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much there is: each account has up to `invoices`, those of `large` credentials more.

    The budget is `requests` in any `per_s` for each credential. The API's own is a fifth larger, as
    the documented one is: it counts a request when it arrives, later than whoever sends it does.
    """

    accounts: int
    credentials: int
    large: int
    invoices: int
    large_invoices: int
    requests: int
    per_s: int


@dataclass
class Credential:
    """A token in a file, and the accounts that it opens; the last two tokens are valid."""

    path: Path
    accounts: list[SimulatedAccount] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    _generation: int = 0

    def rotate(self) -> None:
        """Put the next token into the file, all at once, as the daemon may read it just now."""
        self._generation += 1
        self.tokens = [*self.tokens[-1:], f"{self.path.name}-{self._generation}"]
        unfinished = self.path.with_suffix(".new")
        unfinished.write_text(self.tokens[-1])
        unfinished.chmod(0o600)
        unfinished.rename(self.path)
        for account in self.accounts:
            account.logins = set(self.tokens)


class Site:
    """The API's side of a soak, and what was on the wire."""

    def __init__(self, directory: Path, scale: Scale, climate: Climate, *, seed: int) -> None:
        self.scale = scale
        self.answers: Counter[str] = Counter()
        self.arrivals: defaultdict[str, list[float]] = defaultdict(list)
        self.credentials = [
            Credential(directory / f"token-{number}") for number in range(scale.credentials)
        ]
        self.accounts = [self._account(number) for number in range(scale.accounts)]
        for credential in self.credentials:
            credential.rotate()
        self.weather = Weather(self.accounts, self._rotate, climate, seed)
        self.api = SimulatedApi(
            self.accounts,
            settings=Settings(
                limits=(Limit("default", scale.requests * 6 // 5, scale.per_s),), pdf_links="anew"
            ),
            on_response=self._note,
        )

    def _account(self, number: int) -> SimulatedAccount:
        owner = number % self.scale.credentials
        most = self.scale.invoices
        count = self.scale.large_invoices if owner < self.scale.large else number * 7 % (most + 1)
        account = SimulatedAccount(f"{number:032x}", invoices=make_history(f"{number}", count))
        self.credentials[owner].accounts.append(account)
        return account

    def _rotate(self, draw: Random) -> None:
        draw.choice(self.credentials).rotate()

    def _note(self, seen: SeenRequest, sent: SentResponse) -> None:
        fault = "" if sent.fault is None else f" {type(sent.fault).__name__}"
        self.answers[f"{sent.status}{fault}"] += 1
        self.arrivals[seen.credential].append(seen.at)
        # The API keeps every request for its tests; here they would fill the memory.
        self.api.requests.clear()

    def configuration(self, dsn: str) -> str:
        """The daemon's configuration, in TOML."""
        scale = self.scale
        sections: dict[str, dict[str, object]] = {
            "schedule": {"every": "1s"},
            "sync": {"concurrent_accounts": 16, "account_timeout": "60s"},
            "cloudflare": {
                "base_url": self.api.base_url,
                "concurrent_requests": 8,
                "request_timeout": "3s",
                "max_attempts": 3,
            },
            "cloudflare.rate_limit": {"requests": scale.requests, "per": f"{scale.per_s}s"},
            "database": {"url": dsn},
            "health": {"listen": ""},
        }
        lines = []
        for name, values in sections.items():
            lines.append(f"[{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        for credential in self.credentials:
            for account in credential.accounts:
                path = json.dumps(str(credential.path))
                lines += ["[[accounts]]", f'id = "{account.id}"', f"api_token_file = {path}"]
        return "\n".join(lines) + "\n"
