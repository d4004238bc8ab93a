"""What may be stored of an account after a sync that ended early: all of a standing, or nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from tests.crashes.pictures import LATER, Picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.crashes.pictures import Row

_COUNTS: Final = (
    "pages",
    "requests",
    "retries",
    "fetched",
    "inserted",
    "updated",
    "unchanged",
    "missing",
    "rejected",
)


@dataclass(frozen=True)
class Outlook:
    """What one account may look like: `before` the sync, `after` a complete one, or cut short.

    `pages` are the ids of the records on each of the API's pages, in their order.
    """

    before: Picture
    after: Picture
    pages: tuple[tuple[str, ...], ...]

    def expected(self, records: Sequence[Row]) -> tuple[str, Picture]:
        """Say how the account stands by its own record, and what has to be stored then."""
        if not records:
            return "nothing begun", self.before
        (record,) = records
        if record["status"] == "complete":
            return "complete", replace(self.after, records=(_with_requests(self, record),))
        if record["status"] is None:
            return "not done", replace(self.before, records=(_plain(record, None, None),))
        if record["status"] == "skipped":
            row = _plain(record, "skipped", "interrupted")
            return "skipped", replace(
                self.before, records=(row | {"error_kind": "interrupted"} | _told_why(record),)
            )
        assert record["reason"] == "interrupted", f"nobody asked for this: {record}"
        return f"interrupted after {record['pages']}", self._interrupted(record)

    def _interrupted(self, record: Row) -> Picture:
        count: int = record["pages"]
        fetched = {id_ for page in self.pages[:count] for id_ in page}
        changes = [
            row
            for row in self.after.history[len(self.before.history) :]
            if row["invoice_id"] in fetched and row["change"] != "missing"
        ]
        rejected = [row for row in self.after.rejected if row["invoice_id"] in fetched]
        new = [row for row in rejected if row not in self.before.rejected]
        valid = fetched - {row["invoice_id"] for row in rejected}
        inserted = len(valid - self.before.invoices.keys())
        counts = {
            "pages": count,
            "requests": record["requests"],
            "fetched": len(fetched),
            "inserted": inserted,
            "updated": len(changes),
            "unchanged": len(valid) - inserted - len(changes),
            "rejected": len(fetched) - len(valid),
            "total_reported": self.after.state["total_reported"] if count else None,
            "error_kind": "interrupted",
        }
        assert 0 <= record["requests"] - count <= 1, record
        row = _plain(record, "incomplete" if count else "failed", "interrupted") | counts
        row |= {"started_at": LATER} | _told_why(record)
        stored = {id_: self.after.invoices[id_] for id_ in valid}
        return Picture(
            self.before.invoices | stored,
            (*self.before.history, *changes),
            (*self.before.rejected, *new),
            self._state_of(row),
            (row,),
        )

    def _state_of(self, record: Row) -> Row:
        """The account's state after a record that is not a complete one."""
        state = self.before.state | {
            "last_run_id": LATER,
            "last_finished_at": LATER,
            "last_status": record["status"],
            "pages": record["pages"],
            "invoices_fetched": record["fetched"],
            "total_reported": record["total_reported"],
            "last_error_kind": record["error_kind"],
            "last_error": record["error"],
            "consecutive_failures": self.before.state["consecutive_failures"] + 1,
        }
        return state | ({"last_started_at": LATER} if record["started_at"] else {})


def _plain(record: Row, status: str | None, reason: str | None) -> Row:
    """The row of a walk that brought nothing: to be done where there is no status."""
    return dict.fromkeys(record) | {
        "run_id": LATER,
        "account_id": record["account_id"],
        "finished_at": None if status is None else LATER,
        "status": status,
        "reason": reason,
        **dict.fromkeys(_COUNTS, 0),
    }


def _told_why(record: Row) -> Row:
    assert record["error"], record
    return {"error": record["error"]}


def _with_requests(outlook: Outlook, record: Row) -> Row:
    """The row of a complete sync, whose requests may have had to be sent again."""
    (row,) = outlook.after.records
    assert record["requests"] - record["retries"] == record["pages"], record
    return row | {name: record[name] for name in ("requests", "retries")}
