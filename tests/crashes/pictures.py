"""What is stored of each account, to be compared with what should be."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

Row = dict[str, Any]

LATER: Final = "later"
# What differs from one sync to the next, and is only told apart as before or since.
_MOMENTS: Final = {
    "changed_at",
    "complete_as_of",
    "finished_at",
    "first_seen_at",
    "invoice_pdf_at",
    "last_complete_at",
    "last_finished_at",
    "last_started_at",
    "missing_since",
    "observed_at",
    "started_at",
}
_RUNS: Final = {"run_id", "last_run_id"}


@dataclass(frozen=True)
class Picture:
    """All that is stored of one account; `records` are its rows of later runs, in their order."""

    invoices: dict[str, Row]
    history: tuple[Row, ...]
    rejected: tuple[Row, ...]
    state: Row
    records: tuple[Row, ...] = ()

    def differences(self, expected: Picture) -> list[str]:
        """Say in which rows, and there in which columns, this is not what was expected."""
        found, other = self._rows(), expected._rows()
        return [
            f"{key}: {_differences(found.get(key), other.get(key))}"
            for key in sorted(found.keys() | other.keys())
            if found.get(key) != other.get(key)
        ]

    def _rows(self) -> dict[str, Row]:
        rows = {f"invoices {id_}": row for id_, row in self.invoices.items()}
        rows |= {f"rejected_invoices {row['payload_digest']}": row for row in self.rejected}
        rows |= {f"account_syncs {nth}": row for nth, row in enumerate(self.records)}
        seen: Counter[str] = Counter()
        for row in self.history:
            key = f"invoice_history {row['invoice_id']} {row['change']}"
            rows[f"{key} {seen[key]}"] = row
            seen[key] += 1
        return rows | {"sync_state": self.state}


def _differences(found: Row | None, expected: Row | None) -> str:
    if found is None:
        return "is not there"
    if expected is None:
        return "should not be there"
    return ", ".join(
        f"{name} {found[name]!r}, not {expected[name]!r}"
        for name in found
        if found[name] != expected[name]
    )


@dataclass(frozen=True)
class Stored:
    """A picture of each account by id, and the later rows of `sync_runs` in their order."""

    accounts: dict[str, Picture]
    runs: tuple[Row, ...]


@dataclass
class Camera:
    """Takes pictures of a database. Times and runs that are there now count as the earlier ones."""

    control: asyncpg.Connection
    _known: set[str] = field(default_factory=set)

    async def begin(self) -> Stored:
        """Learn what is there before the sync under test."""
        for table in ("invoices", "invoice_history", "rejected_invoices", "sync_state"):
            for row in await self._rows(table):
                self._known |= {str(row[name]) for name in row.keys() & (_MOMENTS | _RUNS)}
        for table in ("sync_runs", "account_syncs"):
            self._known |= {row.get("run_id") or row["id"] for row in await self._rows(table)}
        return await self.take()

    async def take(self) -> Stored:
        """Read every table."""
        order = {row["id"]: row for row in await self._rows("sync_runs", "started_at")}
        later = [run_id for run_id in order if run_id not in self._known]
        records = [row for row in await self._rows("account_syncs") if row["run_id"] in later]
        records.sort(key=lambda row: later.index(row["run_id"]))
        history = await self._rows("invoice_history", "id")
        invoices, rejected = await self._rows("invoices"), await self._rows("rejected_invoices")
        accounts = {
            state["account_id"]: Picture(
                {row["id"]: self._told(row) for row in _of(state, invoices)},
                # The order of the rows alone counts.
                tuple(self._told({**row, "id": None}) for row in _of(state, history)),
                tuple(
                    self._told({**row, "invoice_id": json.loads(row["payload"])["id"]})
                    for row in _of(state, rejected)
                ),
                self._told(state),
                tuple(self._told(row) for row in _of(state, records)),
            )
            for state in await self._rows("sync_state")
        }
        return Stored(accounts, tuple(order[run_id] for run_id in later))

    async def _rows(self, table: str, order: str = "one") -> list[Row]:
        query = f"SELECT to_jsonb(one)::text AS row FROM {table} AS one ORDER BY {order}"
        return [json.loads(found["row"]) for found in await self.control.fetch(query)]

    def _told(self, row: Row) -> Row:
        """The row with each time and run of a later sync under one name."""
        return {
            name: LATER
            if name in _MOMENTS | _RUNS and value is not None and value not in self._known
            else value
            for name, value in row.items()
        }


def _of(state: Row, rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["account_id"] == state["account_id"]]
