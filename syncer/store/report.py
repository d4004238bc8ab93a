"""What `syncer report` shows, read in one snapshot of the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from syncer.store import report_queries as queries
from syncer.store.state import SyncState, read_states

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date, datetime
    from decimal import Decimal

    from sqlalchemy import RowMapping, TextClause
    from sqlalchemy.ext.asyncio import AsyncConnection

    from syncer.store.engine import Database

MOST_LINES: Final = 50
MOST_ACCOUNTS: Final = 500
MOST_BARS: Final = 12  # accounts with a bar of their own in a currency
MOST_SERIES: Final = 6  # accounts with a colour of their own

Row_co = TypeVar("Row_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Listing(Generic[Row_co]):
    """The first lines of a list that has `total`."""

    rows: tuple[Row_co, ...]
    total: int

    @property
    def more(self) -> int:
        """How many are left out."""
        return self.total - len(self.rows)


@dataclass(frozen=True, slots=True)
class AccountLine:
    """An account: `state` is None without a sync on record, `configured` where that is unknown."""

    id: str
    name: str
    state: SyncState | None
    configured: bool | None

    @property
    def stale(self) -> bool:
        """Whether its figures are older than they may be, or were never complete."""
        return self.state is None or self.state.stale


@dataclass(frozen=True, slots=True, kw_only=True)
class Unrecorded:
    """Accounts without a sync on record, and their invoices, which count all the same."""

    accounts: int
    invoices: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """What is open in a currency, in its major unit; no account: that of all the others.

    `amount` is net of `credit`, which is what comes back, at most 0. How many of the accounts are
    `stale`, and of how many no sync is on record (`unrecorded`); `unsure` is their amount.
    """

    currency: str
    account: str | None
    accounts: int
    stale: int
    unrecorded: int
    invoices: int
    amount: Decimal
    credit: Decimal
    unsure: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """What was paid in a month, in the major unit; `place` orders accounts, largest first."""

    month: date
    currency: str
    place: int
    account: str | None
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """An amount in the major unit."""

    currency: str
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What came by itself, or by hand, as the API words it; amounts in the major unit."""

    currency: str
    origin: str
    invoices: int
    due: Decimal
    paid: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """An invoice that was tried to collect, and of which `amount` is left, in the major unit."""

    account: str
    invoice_id: str
    status: str
    created_at: datetime | None
    attempts: int | None
    currency: str
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedSum:
    """All such invoices of a status and a currency."""

    currency: str
    status: str
    invoices: int
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of an invoice, with its status before and after."""

    observed_at: datetime
    account: str
    invoice_id: str
    change: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vanished:
    """An invoice that the API lists no more, with what was due, in the major unit."""

    missing_since: datetime
    account: str
    invoice_id: str
    status: str | None
    currency: str
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A record that cannot be an invoice."""

    first_seen_at: datetime
    account: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A pass over the accounts."""

    started_at: datetime
    finished_at: datetime | None
    trigger: str
    status: str
    accounts_total: int
    accounts_complete: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDay:
    """How many runs of a day (UTC) ended so."""

    day: date
    status: str
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How often an account's walk ended so."""

    status: str
    reason: str | None
    walks: int
    last_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that the report shows, of one moment of one database.

    `oldest` is the earliest moment as of which an account is complete, of those that ever were.
    Unless `all_known`, some of the accounts that a sync would ask may be lacking.
    """

    made_at: datetime
    where: str
    all_known: bool
    accounts: Listing[AccountLine]
    stale_accounts: int
    oldest: datetime | None
    unrecorded: Unrecorded
    open: tuple[Open, ...]
    paid: tuple[Paid, ...]
    paid_otherwise: tuple[Sum, ...]
    origins: Listing[Origin]
    failed: Listing[Failed]
    failed_sums: tuple[FailedSum, ...]
    changed: Listing[Change]
    vanished: Listing[Vanished]
    rejected: Listing[Rejected]
    runs: Listing[Run]
    run_days: tuple[RunDay, ...]
    outcomes: tuple[Outcome, ...]


async def read_report(
    database: Database, names: Mapping[str, str], *, all_known: bool = True
) -> Report:
    """Read it all in one snapshot; `names` by id are those that a sync asks, if `all_known` all.

    Without any name, nothing is said of who is asked.

    Raises `DatabaseError`.
    """
    async with database.transaction() as conn:
        await conn.execute(queries.SNAPSHOT)
        accounts = _accounts(await read_states(conn), names, all_known=all_known)
        return Report(
            made_at=(await conn.execute(queries.MADE)).scalar_one(),
            where=f"{database.where}, schema {database.schema}",
            all_known=all_known,
            accounts=Listing(tuple(accounts[:MOST_ACCOUNTS]), len(accounts)),
            stale_accounts=sum(account.stale for account in accounts),
            oldest=min(filter(None, map(_as_of, accounts)), default=None),
            unrecorded=(await _all(conn, queries.UNRECORDED, Unrecorded))[0],
            open=await _all(conn, queries.OPEN, Open, most=MOST_BARS),
            paid=await _all(conn, queries.PAID, Paid, most=MOST_SERIES),
            paid_otherwise=await _all(conn, queries.PAID_OTHERWISE, Sum),
            origins=await _first(conn, queries.ORIGINS, Origin),
            failed=await _first(conn, queries.FAILED, Failed),
            failed_sums=await _all(conn, queries.FAILED_SUMS, FailedSum),
            changed=await _first(conn, queries.CHANGED, Change),
            vanished=await _first(conn, queries.VANISHED, Vanished),
            rejected=await _first(conn, queries.REJECTED, Rejected),
            runs=await _first(conn, queries.RUNS, Run),
            run_days=await _all(conn, queries.RUN_DAYS, RunDay),
            outcomes=await _all(conn, queries.OUTCOMES, Outcome),
        )


def _accounts(
    states: Sequence[SyncState], names: Mapping[str, str], *, all_known: bool
) -> list[AccountLine]:
    """Put what needs attention first."""
    unnamed = False if names and all_known else None
    lines = [
        AccountLine(
            state.account_id,
            state.account_name,
            state,
            state.account_id in names or unnamed,
        )
        for state in states
    ]
    seen = {state.account_id for state in states}
    lines += [
        AccountLine(id_, names[id_], None, configured=True) for id_ in names if id_ not in seen
    ]
    return sorted(lines, key=lambda line: (not line.stale, line.name, line.id))


def _as_of(account: AccountLine) -> datetime | None:
    return account.state.complete_as_of if account.state else None


async def _all(
    conn: AsyncConnection, query: TextClause, made: Callable[..., Row_co], **values: int
) -> tuple[Row_co, ...]:
    return tuple(made(**row) for row in (await conn.execute(query, values)).mappings())


async def _first(
    conn: AsyncConnection, query: TextClause, made: Callable[..., Row_co]
) -> Listing[Row_co]:
    found: Sequence[RowMapping] = (await conn.execute(query, {"most": MOST_LINES})).mappings().all()
    rows = tuple(made(**{key: row[key] for key in row if key != "total"}) for row in found)
    return Listing(rows, found[0]["total"] if found else 0)
