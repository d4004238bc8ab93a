"""The tables, as the newest migration leaves them; Alembic compares a database with this.

The views live with the migration that creates them (`alembic/versions`), their names here.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

VIEWS = ("invoice_changes", "invoice_totals", "invoice_versions", "sync_freshness")

# No schema: every connection's search_path names exactly the configured one.
metadata = MetaData()

_Moment = DateTime(timezone=True)


def _count(name: str, comment: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=text("0"), comment=comment)


# No foreign key to the runs: these rows outlive them, and each one would cost a look-up per row.
invoices = Table(
    "invoices",
    metadata,
    Column("account_id", Text, nullable=False, comment="Cloudflare account that was billed"),
    Column("id", Text, nullable=False, comment="The API's id, unique within its account"),
    Column("status", Text, comment="The API's word: draft, open, paid, void, uncollectible, ..."),
    Column("currency", Text, nullable=False, comment="ISO 4217 code as the API writes it"),
    Column(
        "amount_due",
        Numeric,
        nullable=False,
        comment="In the currency's minor unit, every digit as the API gave it",
    ),
    Column(
        "amount_paid",
        Numeric,
        nullable=False,
        comment="In the currency's minor unit, every digit as the API gave it",
    ),
    Column(
        "amount_remaining",
        Numeric,
        nullable=False,
        comment="In the currency's minor unit, every digit as the API gave it",
    ),
    Column("attempt_count", BigInteger, comment="Attempts to collect the payment"),
    Column("attempted", Boolean, comment="Whether a payment was ever attempted"),
    Column("auto_advance", Boolean, comment="Whether collection goes on by itself"),
    Column("created_at", _Moment, comment="When the invoice was created, from the API's `created`"),
    Column("created_by", Text, comment="Who or what created the invoice"),
    Column("description", Text, comment="Free text"),
    Column("invoice_origin", Text, comment="What gave rise to the invoice"),
    Column(
        "invoice_pdf",
        Text,
        comment="Link to the PDF, which works for whoever holds it; null until finalised",
    ),
    Column(
        "invoice_pdf_at",
        _Moment,
        comment="When the stored link was fetched; links expire and differ at each fetch",
    ),
    Column(
        "extra",
        JSONB,
        comment="Fields that the API documents nowhere; null where there are none",
    ),
    Column("first_seen_at", _Moment, nullable=False, comment="When a sync first stored it"),
    Column(
        "changed_at",
        _Moment,
        nullable=False,
        comment="Last change of content; neither the PDF link nor an absence counts",
    ),
    Column(
        "missing_since",
        _Moment,
        comment="When a complete sync first no longer found it; null while the API lists it",
    ),
    PrimaryKeyConstraint("account_id", "id", name="invoices_pkey"),
    comment="Every invoice that the API ever listed, at its last known content; never deleted",
)

invoice_history = Table(
    "invoice_history",
    metadata,
    Column(
        "id",
        BigInteger,
        Identity(always=True),
        nullable=False,
        comment="Order in which the changes were stored",
    ),
    Column("account_id", Text, nullable=False, comment="Account of the invoice"),
    Column("invoice_id", Text, nullable=False, comment="Id of the invoice"),
    Column("run_id", UUID, nullable=False, comment="Run that observed the change"),
    Column("observed_at", _Moment, nullable=False, comment="When the change was stored"),
    Column("change", Text, nullable=False, comment="changed, missing or reappeared"),
    Column(
        "before",
        JSONB,
        nullable=False,
        comment="Content until then, without the PDF link",
    ),
    Column("after", JSONB, comment="Content since, without the PDF link; null for missing"),
    PrimaryKeyConstraint("id", name="invoice_history_pkey"),
    CheckConstraint(
        "change IN ('changed', 'missing', 'reappeared')", name="invoice_history_change_check"
    ),
    Index("invoice_history_invoice_idx", "account_id", "invoice_id", "id"),
    comment="Append-only: one row per change of an invoice after its first sight",
)

history_horizon = Table(
    "history_horizon",
    metadata,
    Column(
        "singleton",
        Boolean,
        nullable=False,
        server_default=true(),
        comment="Always true, so that there is one row at most",
    ),
    Column(
        "since",
        _Moment,
        nullable=False,
        comment="What was stored at this time is known, and every change after it",
    ),
    PrimaryKeyConstraint("singleton", name="history_horizon_pkey"),
    CheckConstraint("singleton", name="history_horizon_singleton_check"),
    comment="From when on the history is whole; no row: nothing of it was ever deleted",
)

rejected_invoices = Table(
    "rejected_invoices",
    metadata,
    Column("account_id", Text, nullable=False, comment="Account that the API listed it for"),
    Column(
        "payload_digest",
        LargeBinary,
        nullable=False,
        comment="SHA-256 of the record without its PDF link: the same record is kept once",
    ),
    Column("run_id", UUID, nullable=False, comment="Run that met the record first"),
    Column("reason", Text, nullable=False, comment="Why it cannot be an invoice, for a person"),
    Column("payload", Text, nullable=False, comment="The record as it came; may hold a PDF link"),
    Column("first_seen_at", _Moment, nullable=False, comment="When it was first stored"),
    PrimaryKeyConstraint("account_id", "payload_digest", name="rejected_invoices_pkey"),
    comment="Records of the API that cannot be invoices, kept for a person to look at",
)

sync_state = Table(
    "sync_state",
    metadata,
    Column("account_id", Text, nullable=False, comment="Cloudflare account"),
    Column("account_name", Text, nullable=False, comment="Its name in the configuration"),
    Column("last_run_id", UUID, comment="Run of the last walk"),
    Column("last_started_at", _Moment, comment="When the last walk began, by the database's clock"),
    Column("last_finished_at", _Moment, comment="When the last walk was recorded"),
    Column("last_status", Text, comment="complete, incomplete or failed"),
    Column(
        "last_complete_at",
        _Moment,
        comment="When a walk was last complete; null: never",
    ),
    Column(
        "last_error_kind",
        Text,
        comment="Stable word for the last error; null once complete again",
    ),
    Column("last_error", Text, comment="The last error in one line; null once complete again"),
    _count("consecutive_failures", "Walks that were not complete since the last complete one"),
    _count("pages", "Pages fetched in the last walk"),
    _count("invoices_fetched", "Distinct records fetched in the last walk"),
    Column("total_reported", BigInteger, comment="Total that the API reported; null: none"),
    Column(
        "stale_after",
        Interval,
        nullable=False,
        server_default=text("'01:00:00'::interval"),
        comment="Age of the last complete sync past which the account is stale",
    ),
    Column(
        "complete_as_of",
        _Moment,
        comment="What the API listed at this time, of the types that are synced, is stored: when"
        " the last complete walk began",
    ),
    Column(
        "last_tick",
        _Moment,
        comment="Tick of the schedule that the last walk stood for; null: none",
    ),
    PrimaryKeyConstraint("account_id", name="sync_state_pkey"),
    CheckConstraint(
        "last_status IN ('complete', 'incomplete', 'failed')", name="sync_state_last_status_check"
    ),
    comment="How things stand with each account",
)

account_digests = Table(
    "account_digests",
    metadata,
    Column("account_id", Text, nullable=False, comment="Cloudflare account"),
    Column("version", Integer, nullable=False, comment="Version of what a digest covers"),
    Column("run_id", UUID, nullable=False, comment="Run that stored the walk"),
    Column("compared_at", _Moment, nullable=False, comment="Since when digests show every change"),
    Column(
        "invoices", BigInteger, nullable=False, comment="Rows of invoices that the account had then"
    ),
    Column("settled", Boolean, nullable=False, comment="Whether what was missing then was marked"),
    Column("pages", LargeBinary, nullable=False, comment="Digests, as MessagePack; empty: none"),
    PrimaryKeyConstraint("account_id", name="account_digests_pkey"),
    comment="What each account's last walk was served, in digests; for syncer alone",
)

sync_runs = Table(
    "sync_runs",
    metadata,
    Column("id", UUID, nullable=False, comment="The run_id of log lines and other tables"),
    Column("trigger", Text, nullable=False, comment="start, schedule or command"),
    Column("started_at", _Moment, nullable=False, comment="When the run began"),
    Column("finished_at", _Moment, comment="When it ended; null while it is under way"),
    Column(
        "status",
        Text,
        nullable=False,
        comment="running, succeeded, partial, failed, or abandoned (its process died)",
    ),
    _count("accounts_total", "Accounts that the run was to walk"),
    _count("accounts_complete", "Accounts whose walk was complete"),
    Column("version", Text, nullable=False, comment="Version of syncer"),
    Column("host", Text, nullable=False, comment="Host that it ran on"),
    PrimaryKeyConstraint("id", name="sync_runs_pkey"),
    CheckConstraint("trigger IN ('start', 'schedule', 'command')", name="sync_runs_trigger_check"),
    CheckConstraint(
        "status IN ('running', 'succeeded', 'partial', 'failed', 'abandoned')",
        name="sync_runs_status_check",
    ),
    # Every run begins by asking for the running ones, which are few among ever more.
    Index("sync_runs_running_idx", "id", postgresql_where=text("status = 'running'")),
    comment="One row per pass over all accounts",
)

account_syncs = Table(
    "account_syncs",
    metadata,
    Column(
        "run_id",
        UUID,
        ForeignKey("sync_runs.id", name="account_syncs_run_id_fkey", ondelete="CASCADE"),
        nullable=False,
        comment="Run that the walk belongs to",
    ),
    Column("account_id", Text, nullable=False, comment="Cloudflare account"),
    Column("started_at", _Moment, comment="When the walk began; null: not begun, or skipped"),
    Column("finished_at", _Moment, comment="When it was recorded; null while it is to be done"),
    Column(
        "status",
        Text,
        comment="complete, incomplete, failed, skipped or abandoned; null while it is to be done",
    ),
    Column("reason", Text, comment="A stable word for why it is not complete"),
    _count("pages", "Pages fetched"),
    _count("requests", "Requests sent, those that failed included"),
    _count("retries", "Requests sent again after a passing failure"),
    _count("fetched", "Distinct records fetched, rejected ones included"),
    _count("inserted", "Invoices stored for the first time"),
    _count("updated", "Invoices whose content changed or that reappeared"),
    _count("unchanged", "Invoices that were stored with this content already"),
    _count("missing", "Invoices marked missing"),
    _count("rejected", "Records that cannot be invoices"),
    Column("total_reported", BigInteger, comment="Total that the API reported; null: none"),
    Column(
        "error_kind",
        Text,
        comment="Stable word for the error behind it, such as rate_limited behind a timeout",
    ),
    Column("error", Text, comment="The error in one line"),
    Column("http_status", Integer, comment="HTTP status of the answer that ended the walk"),
    Column("cf_ray", Text, comment="CF-Ray of that answer, for Cloudflare's support"),
    PrimaryKeyConstraint("run_id", "account_id", name="account_syncs_pkey"),
    CheckConstraint(
        "status IN ('complete', 'incomplete', 'failed', 'skipped', 'abandoned')",
        name="account_syncs_status_check",
    ),
    comment="One row per account and run: what the walk saw and did",
)
