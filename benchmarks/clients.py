"""What is measured: syncer, its peers, and the two limits, each as a command of its own."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.medians import LIMITS
from benchmarks.pages import USUAL_PER_PAGE
from benchmarks.receive import CONNECTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.api import Api

PEERS: Final = Path(__file__).with_name("peers")
# Its environments, which make has made.
VENVS: Final = Path(".bench")
SYNCER: Final = str(Path(sys.executable).with_name("syncer"))
_CHECK: Final = """
    SELECT
        count(*) AS rows,
        sum(amount_due) AS due,
        sum(amount_paid) AS paid,
        sum(amount_remaining) AS remaining,
        count(*) FILTER (WHERE status = 'paid') AS paid_invoices
    FROM invoices
"""
_UNWANTED: Final = ("SYNCER_", "CLOUDFLARE_", "PG", "PYTHON", "BENCH_")


@dataclass(frozen=True)
class Client:
    """A command to measure.

    `check` is a query of one row: rows, the sums of the three amounts, and how many are paid.
    """

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    check: str = _CHECK

    def full_environ(self) -> dict[str, str]:
        """The environment without what would change a client, and with what it needs."""
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(_UNWANTED) and not key.lower().endswith("_proxy")
        }
        return kept | dict(self.environ)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What differs between the configurations of syncer that are measured."""

    concurrent_requests: int = CONNECTIONS
    per_page: int | str = USUAL_PER_PAGE
    # So high that it does not matter.
    requests: int = 1_000_000
    per: str = "5m"
    one_credential: bool = False
    listen: str = ""


def receiving(api: Api) -> Client:
    """Fetch every page and drop it."""
    command = (sys.executable, "-m", "benchmarks.receive", api.base_url)
    pages = api.pages() // api.accounts
    return Client("receiving only", (*command, str(api.accounts), str(pages)))


def copying_text(dsn: str, text: Path) -> Client:
    """Store all rows at once, as text that is there."""
    return _copying("COPY only", "text", dsn, str(text))


def copying_values(dsn: str, source: str) -> Client:
    """Store all rows at once, as values that the driver has to write."""
    return _copying("COPY of values", "values", dsn, source)


def _copying(name: str, *arguments: str) -> Client:
    return Client(name, (sys.executable, "-m", "benchmarks.copy_rows", *arguments))


def syncer(
    api: Api, dsn: str, directory: Path, setting: Setting, *, command: str = "sync"
) -> Client:
    """Give the installed program, with a configuration of its own in the directory."""
    file = directory / "config.toml"
    file.write_text(configuration(api, dsn, setting))
    file.chmod(0o600)
    return Client("syncer", (SYNCER, "--config", str(file), command))


def configuration(api: Api, dsn: str, setting: Setting) -> str:
    """Write the configuration in TOML."""
    sections: dict[str, dict[str, object]] = {
        "schedule": {"every": "1d"},
        "sync": {"concurrent_accounts": 8},
        "cloudflare": {
            "base_url": api.base_url,
            "concurrent_requests": setting.concurrent_requests,
            "per_page": setting.per_page,
        },
        "cloudflare.rate_limit": {"requests": setting.requests, "per": setting.per},
        "database": {"url": dsn},
        "log": {"format": "json"},
        "health": {"listen": setting.listen},
    }
    lines = []
    for name, values in sections.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    for number in range(api.accounts):
        token = 0 if setting.one_credential else number
        lines += ["[[accounts]]", f'id = "{number:032x}"', f'api_token = "token-{token}"']
    return "\n".join(lines) + "\n"


def peer_names() -> list[str]:
    """Name the peers that there are."""
    return sorted(path.parent.name for path in PEERS.glob("*/sync.py"))


def peer(name: str, api: Api, dsn: str, state: Path) -> Client:
    """Give a peer, which keeps what it wants to remember in the directory `state`."""
    home = PEERS / name
    python = VENVS / name / "bin" / "python"
    return Client(
        name,
        (str(python), str(home / "sync.py")),
        {
            "BENCH_URL": api.base_url,
            "BENCH_DSN": dsn,
            "BENCH_ACCOUNTS": str(api.accounts),
            "BENCH_STATE": str(state),
        },
        (home / "check.sql").read_text(),
    )


def inside(name: str, directory: Path) -> dict[str, Any]:
    """Read what a client said about itself: its time without the start, its counts."""
    if name == "syncer":
        lines = (directory / "stderr").read_text().splitlines()
        event = next(one for one in map(json.loads, lines) if one["event"] == "run.finished")
        counts = ("requests", "retries", "fetched", "inserted", "updated", "unchanged", "missing")
        return {
            "inside_s": event["duration_ms"] / 1000,
            "counts": {key: event[key] for key in (*counts, "rejected", "accounts_complete")},
        }
    if name in LIMITS:
        said: dict[str, Any] = json.loads((directory / "stdout").read_text())
        return said
    return {}
