"""Invoices, their history, and what every run did.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

    _Type: TypeAlias = TypeEngine[Any] | type[TypeEngine[Any]]

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def _always(
    name: str,
    type_: _Type,
    comment: str,
    *rest: sa.Identity,
    server_default: sa.TextClause | None = None,
) -> sa.Column[Any]:
    return sa.Column(
        name, type_, *rest, nullable=False, server_default=server_default, comment=comment
    )


def _maybe(name: str, type_: _Type, comment: str) -> sa.Column[Any]:
    return sa.Column(name, type_, comment=comment)


def _count(name: str, comment: str) -> sa.Column[Any]:
    return _always(name, sa.Integer, comment, server_default=sa.text("0"))


def upgrade() -> None:
    op.create_table(
        "invoices",
        _always("account_id", sa.Text, "Cloudflare account that was billed"),
        _always("id", sa.Text, "The API's id, unique within its account"),
        _maybe("status", sa.Text, "The API's word: draft, open, paid, void, uncollectible, ..."),
        _always("currency", sa.Text, "ISO 4217 code as the API writes it"),
        _always(
            "amount_due", sa.Numeric, "In the currency's minor unit, every digit as the API gave it"
        ),
        _always(
            "amount_paid",
            sa.Numeric,
            "In the currency's minor unit, every digit as the API gave it",
        ),
        _always(
            "amount_remaining",
            sa.Numeric,
            "In the currency's minor unit, every digit as the API gave it",
        ),
        _maybe("attempt_count", sa.BigInteger, "Attempts to collect the payment"),
        _maybe("attempted", sa.Boolean, "Whether a payment was ever attempted"),
        _maybe("auto_advance", sa.Boolean, "Whether collection goes on by itself"),
        _maybe("created_at", _MOMENT, "When the invoice was created, from the API's `created`"),
        _maybe("created_by", sa.Text, "Who or what created the invoice"),
        _maybe("description", sa.Text, "Free text"),
        _maybe("invoice_origin", sa.Text, "What gave rise to the invoice"),
        _maybe(
            "invoice_pdf",
            sa.Text,
            "Link to the PDF, which works for whoever holds it; null until finalised",
        ),
        _maybe(
            "invoice_pdf_at",
            _MOMENT,
            "When the stored link was fetched; links expire and differ at each fetch",
        ),
        _maybe("extra", JSONB, "Fields that the API documents nowhere; null where there are none"),
        _always("first_seen_at", _MOMENT, "When a sync first stored it"),
        _always(
            "changed_at",
            _MOMENT,
            "Last change of content; neither the PDF link nor an absence counts",
        ),
        _maybe(
            "missing_since",
            _MOMENT,
            "When a complete sync first no longer found it; null while the API lists it",
        ),
        sa.PrimaryKeyConstraint("account_id", "id", name="invoices_pkey"),
        comment="Every invoice that the API ever listed, at its last known content; never deleted",
    )
    # Room for the next version of a row on its own page, so that no index has to follow it.
    op.execute("ALTER TABLE invoices SET (fillfactor = 90)")
    op.create_table(
        "invoice_history",
        _always(
            "id", sa.BigInteger, "Order in which the changes were stored", sa.Identity(always=True)
        ),
        _always("account_id", sa.Text, "Account of the invoice"),
        _always("invoice_id", sa.Text, "Id of the invoice"),
        _always("run_id", sa.UUID, "Run that observed the change"),
        _always("observed_at", _MOMENT, "When the change was stored"),
        _always("change", sa.Text, "changed, missing or reappeared"),
        _always("before", JSONB, "Content until then, without the PDF link"),
        _maybe("after", JSONB, "Content since, without the PDF link; null for missing"),
        sa.PrimaryKeyConstraint("id", name="invoice_history_pkey"),
        sa.CheckConstraint(
            "change IN ('changed', 'missing', 'reappeared')", name="invoice_history_change_check"
        ),
        comment="Append-only: one row per change of an invoice after its first sight",
    )
    op.create_index(
        "invoice_history_invoice_idx", "invoice_history", ["account_id", "invoice_id", "id"]
    )
    op.create_table(
        "rejected_invoices",
        _always("account_id", sa.Text, "Account that the API listed it for"),
        _always(
            "payload_digest",
            sa.LargeBinary,
            "SHA-256 of the record without its PDF link: the same record is kept once",
        ),
        _always("run_id", sa.UUID, "Run that met the record first"),
        _always("reason", sa.Text, "Why it cannot be an invoice, for a person"),
        _always("payload", sa.Text, "The record as it came; may hold a PDF link"),
        _always("first_seen_at", _MOMENT, "When it was first stored"),
        sa.PrimaryKeyConstraint("account_id", "payload_digest", name="rejected_invoices_pkey"),
        comment="Records of the API that cannot be invoices, kept for a person to look at",
    )
    op.create_table(
        "sync_state",
        _always("account_id", sa.Text, "Cloudflare account"),
        _always("account_name", sa.Text, "Its name in the configuration"),
        _maybe("last_run_id", sa.UUID, "Run of the last walk"),
        _maybe("last_started_at", _MOMENT, "When the last walk began, by the database's clock"),
        _maybe("last_finished_at", _MOMENT, "When the last walk was recorded"),
        _maybe("last_status", sa.Text, "complete, incomplete or failed"),
        _maybe("last_complete_at", _MOMENT, "When a walk was last complete; null: never"),
        _maybe(
            "last_error_kind", sa.Text, "Stable word for the last error; null once complete again"
        ),
        _maybe("last_error", sa.Text, "The last error in one line; null once complete again"),
        _count("consecutive_failures", "Walks that were not complete since the last complete one"),
        _count("pages", "Pages fetched in the last walk"),
        _count("invoices_fetched", "Distinct records fetched in the last walk"),
        _maybe("total_reported", sa.BigInteger, "Total that the API reported; null: none"),
        _always(
            "stale_after",
            sa.Interval,
            "Age of the last complete sync past which the account is stale",
            server_default=sa.text("'01:00:00'::interval"),
        ),
        sa.PrimaryKeyConstraint("account_id", name="sync_state_pkey"),
        sa.CheckConstraint(
            "last_status IN ('complete', 'incomplete', 'failed')",
            name="sync_state_last_status_check",
        ),
        comment="How things stand with each account",
    )
    op.create_table(
        "sync_runs",
        _always("id", sa.UUID, "The run_id of log lines and other tables"),
        _always("trigger", sa.Text, "start, schedule or command"),
        _always("started_at", _MOMENT, "When the run began"),
        _maybe("finished_at", _MOMENT, "When it ended; null while it is under way"),
        _always(
            "status",
            sa.Text,
            "running, succeeded, partial, failed, or abandoned (its process died)",
        ),
        _count("accounts_total", "Accounts that the run was to walk"),
        _count("accounts_complete", "Accounts whose walk was complete"),
        _always("version", sa.Text, "Version of syncer"),
        _always("host", sa.Text, "Host that it ran on"),
        sa.PrimaryKeyConstraint("id", name="sync_runs_pkey"),
        sa.CheckConstraint(
            "trigger IN ('start', 'schedule', 'command')", name="sync_runs_trigger_check"
        ),
        sa.CheckConstraint(
            "status IN ('running', 'succeeded', 'partial', 'failed', 'abandoned')",
            name="sync_runs_status_check",
        ),
        comment="One row per pass over all accounts",
    )
    op.create_index(
        "sync_runs_running_idx", "sync_runs", ["id"], postgresql_where=sa.text("status = 'running'")
    )
    op.create_table(
        "account_syncs",
        _always("run_id", sa.UUID, "Run that the walk belongs to"),
        _always("account_id", sa.Text, "Cloudflare account"),
        _maybe("started_at", _MOMENT, "When the walk began; null: not begun, or skipped"),
        _maybe("finished_at", _MOMENT, "When it was recorded; null while it is to be done"),
        _maybe(
            "status",
            sa.Text,
            "complete, incomplete, failed, skipped or abandoned; null while it is to be done",
        ),
        _maybe("reason", sa.Text, "A stable word for why it is not complete"),
        _count("pages", "Pages fetched"),
        _count("requests", "Requests sent, those that failed included"),
        _count("retries", "Requests sent again after a passing failure"),
        _count("fetched", "Distinct records fetched, rejected ones included"),
        _count("inserted", "Invoices stored for the first time"),
        _count("updated", "Invoices whose content changed or that reappeared"),
        _count("unchanged", "Invoices that were stored with this content already"),
        _count("missing", "Invoices marked missing"),
        _count("rejected", "Records that cannot be invoices"),
        _maybe("total_reported", sa.BigInteger, "Total that the API reported; null: none"),
        _maybe(
            "error_kind",
            sa.Text,
            "Stable word for the error behind it, such as rate_limited behind a timeout",
        ),
        _maybe("error", sa.Text, "The error in one line"),
        _maybe("http_status", sa.Integer, "HTTP status of the answer that ended the walk"),
        _maybe("cf_ray", sa.Text, "CF-Ray of that answer, for Cloudflare's support"),
        sa.PrimaryKeyConstraint("run_id", "account_id", name="account_syncs_pkey"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["sync_runs.id"], name="account_syncs_run_id_fkey", ondelete="CASCADE"
        ),
        sa.CheckConstraint(
            "status IN ('complete', 'incomplete', 'failed', 'skipped', 'abandoned')",
            name="account_syncs_status_check",
        ),
        comment="One row per account and run: what the walk saw and did",
    )
    op.execute("COMMENT ON TABLE alembic_version IS 'The revision that these tables are at'")
    op.execute("COMMENT ON COLUMN alembic_version.version_num IS 'File in alembic/versions'")


def downgrade() -> None:
    for table in (
        "account_syncs",
        "sync_runs",
        "sync_state",
        "rejected_invoices",
        "invoice_history",
        "invoices",
    ):
        op.drop_table(table)
    # Kept by later downgrades while there is history that it tells of.
    op.execute("DROP TABLE IF EXISTS history_horizon")
