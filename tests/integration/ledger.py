"""The tables as they are read back, and what a row has to become when a record was served."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.integration.stored import rows_of
from tests.integration.witness import SAME_NAME, Content, Served

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from syncer.store.engine import Database
    from tests.integration.running import Row

_CONTENT = (*SAME_NAME, "created_at")


class Change(NamedTuple):
    """A row of the history, of one invoice."""

    change: str
    before: Content
    after: Content | None


@dataclass(frozen=True)
class StoredInvoice:
    """A row of the invoices; `version` changes whenever it is rewritten."""

    content: Content
    link: str | None
    first_seen_at: datetime
    changed_at: datetime
    missing_since: datetime | None
    version: str

    @property
    def is_missing(self) -> bool:
        return self.missing_since is not None


@dataclass(frozen=True)
class Ledger:
    """Everything that is stored of the one account."""

    invoices: dict[str, StoredInvoice]
    history: list[tuple[str, str, Change]]
    rejected: set[str]
    state: Row | None
    sync: Row

    @property
    def live(self) -> set[str]:
        return {id_ for id_, stored in self.invoices.items() if not stored.is_missing}

    def changes_of(self, id_: str) -> list[Change]:
        return [change for _, invoice_id, change in self.history if invoice_id == id_]


async def read_ledger(database: Database, run_id: UUID | None = None) -> Ledger:
    """Read all tables in one transaction; `run_id` is that of the last walk."""
    async with database.transaction() as conn:
        invoices = await rows_of(
            conn,
            "SELECT *, cast(extra AS text) AS extra, cast(xmin AS text) AS version FROM invoices",
        )
        history = await rows_of(
            conn,
            """SELECT cast(run_id AS text) AS run_id, invoice_id, change,
                cast(before AS text) AS before, cast(after AS text) AS after
            FROM invoice_history ORDER BY id""",
        )
        rejected = await rows_of(conn, "SELECT payload FROM rejected_invoices")
        states = await rows_of(conn, "SELECT * FROM sync_state")
        syncs = await rows_of(conn, "SELECT * FROM account_syncs WHERE run_id = :id", id=run_id)
    return Ledger(
        invoices={row["id"]: _stored(row) for row in invoices},
        history=[(row["run_id"], row["invoice_id"], _change(row)) for row in history],
        rejected={Served(_exact(row["payload"])).identity for row in rejected},
        state=states[0] if states else None,
        sync=syncs[0] if syncs else {},
    )


def _change(row: Row) -> Change:
    after = None if row["after"] is None else _told(row["after"])
    return Change(row["change"], _told(row["before"]), after)


def _stored(row: Row) -> StoredInvoice:
    content = {name: row[name] for name in _CONTENT}
    content["extra"] = None if row["extra"] is None else _exact(row["extra"])
    bookkeeping = ("first_seen_at", "changed_at", "missing_since", "version")
    return StoredInvoice(
        content=content, link=row["invoice_pdf"], **{name: row[name] for name in bookkeeping}
    )


def _told(text: str) -> Content:
    content: Content = _exact(text)
    if content["created_at"] is not None:
        content["created_at"] = datetime.fromisoformat(content["created_at"])
    return content


def _exact(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


class Expected(NamedTuple):
    """What has to be stored of an invoice after a walk, and told of it."""

    content: Content
    link: str | None
    is_missing: bool
    is_rewritten: bool
    changes: list[Change]
    counted_as: str  # inserted, updated or unchanged; nothing where it was not served


def expected_row(
    before: StoredInvoice | None, served: Served | None, *, is_marked: bool
) -> Expected:
    """Follow one invoice through a walk that served it so at last, or not at all."""
    changes: list[Change] = []
    if served is None:
        assert before is not None
        content, link, is_rewritten, counted_as = before.content, before.link, False, ""
        is_missing = before.is_missing
    else:
        content = served.content
        differs = before is not None and before.content != content
        back = before is not None and before.is_missing
        if before is not None and (differs or back):
            changes.append(Change("reappeared" if back else "changed", before.content, content))
        # A first link is worth storing at once; a newer one only with other news.
        first_link = before is not None and before.link is None and served.link is not None
        is_rewritten = before is None or differs or back or first_link
        link = served.link if before is None or is_rewritten else before.link
        is_missing = False
        counted_as = "inserted" if before is None else "updated" if changes else "unchanged"
    if is_marked:
        changes.append(Change("missing", content, None))
    return Expected(
        content, link, is_missing or is_marked, is_rewritten or is_marked, changes, counted_as
    )


def fits(before: StoredInvoice | None, after: StoredInvoice, expected: Expected) -> bool:
    """Whether the row has become what it had to."""
    if (after.content, after.link) != (expected.content, expected.link):
        return False
    if before is None:
        times_fit = after.changed_at == after.first_seen_at
    else:
        news = before.content != after.content
        times_fit = after.first_seen_at == before.first_seen_at and (
            after.changed_at > before.changed_at if news else after.changed_at == before.changed_at
        )
    is_rewritten = before is None or before.version != after.version
    return (
        times_fit
        and after.is_missing == expected.is_missing
        and is_rewritten == expected.is_rewritten
    )


def assert_unbroken(changes: Sequence[Change], stored: StoredInvoice) -> None:
    """Read an invoice's history as somebody who has nothing else."""
    content: Content | None = None
    is_missing = False
    for change in changes:
        assert content in (None, change.before)
        # What is missing comes back before anything else happens to it.
        assert is_missing == (change.change == "reappeared")
        is_missing = change.change == "missing"
        assert is_missing == (change.after is None)
        assert change.change != "changed" or change.before != change.after
        content = change.before if change.after is None else change.after
    assert content in (None, stored.content)
    assert stored.is_missing == is_missing
