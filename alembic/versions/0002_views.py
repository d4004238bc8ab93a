"""Views: every change in time, how fresh each account is, and totals.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# What an invoice held when it was first seen is what its first change replaced.
_CHANGES = """
CREATE VIEW invoice_changes AS
SELECT
    account_id,
    id AS invoice_id,
    cast(NULL AS uuid) AS run_id,
    first_seen_at AS observed_at,
    'appeared' AS change,
    cast(NULL AS jsonb) AS before,
    coalesce(
        (
            SELECT invoice_history.before
            FROM invoice_history
            WHERE invoice_history.account_id = invoices.account_id
                AND invoice_history.invoice_id = invoices.id
            ORDER BY invoice_history.id
            LIMIT 1
        ),
        to_jsonb(invoices) - cast(
            '{account_id,invoice_pdf,invoice_pdf_at,first_seen_at,changed_at,missing_since}'
            AS text[]
        )
    ) AS after
FROM invoices
UNION ALL
SELECT account_id, invoice_id, run_id, observed_at, change, before, after
FROM invoice_history
"""

_FRESHNESS = """
CREATE VIEW sync_freshness AS
SELECT
    account_id,
    account_name,
    last_complete_at,
    now() - last_complete_at AS age,
    coalesce(now() - last_complete_at > stale_after, true) AS stale,
    stale_after,
    last_status,
    last_finished_at,
    consecutive_failures,
    last_error_kind,
    last_error
FROM sync_state
"""

# Exponents as Stripe applies them, https://docs.stripe.com/currencies: ISK and UGX have no minor
# unit any more, but amounts are in hundredths all the same. A product by a power of ten keeps
# every digit, where a quotient would be rounded.
_TOTALS = """
CREATE VIEW invoice_totals AS
SELECT
    account_id,
    currency,
    month,
    status,
    count(*) AS invoices,
    sum(amount_due) AS amount_due_minor,
    sum(amount_paid) AS amount_paid_minor,
    sum(amount_remaining) AS amount_remaining_minor,
    sum(amount_due) * major_per_minor AS amount_due_major,
    sum(amount_paid) * major_per_minor AS amount_paid_major,
    sum(amount_remaining) * major_per_minor AS amount_remaining_major
FROM (
    SELECT
        account_id,
        currency,
        status,
        amount_due,
        amount_paid,
        amount_remaining,
        cast(date_trunc('month', created_at AT TIME ZONE 'UTC') AS date) AS month,
        CASE
            WHEN upper(currency) IN (
                'BIF', 'CLP', 'DJF', 'GNF', 'JPY', 'KMF', 'KRW', 'MGA', 'PYG', 'RWF', 'VND',
                'VUV', 'XAF', 'XOF', 'XPF'
            ) THEN 1
            WHEN upper(currency) IN ('BHD', 'JOD', 'KWD', 'OMR', 'TND') THEN 0.001
            ELSE 0.01
        END AS major_per_minor
    FROM invoices
    -- What the API lists no more, such as a deleted draft, is no longer billed.
    WHERE missing_since IS NULL
) AS listed
GROUP BY account_id, currency, month, status, major_per_minor
"""

_COMMENTS = {
    "invoice_changes": {
        "": "Everything that happened to invoices, in time: first sights and the whole history",
        "account_id": "Account of the invoice",
        "invoice_id": "Id of the invoice",
        "run_id": "Run that observed the change; null for appeared",
        "observed_at": "When the change was stored",
        "change": "appeared, changed, missing or reappeared",
        "before": "Content until then, without the PDF link; null for appeared",
        "after": "Content since, without the PDF link; null for missing",
    },
    "sync_freshness": {
        "": "How old what is stored of each account may be",
        "account_id": "Cloudflare account",
        "account_name": "Its name in the configuration",
        "last_complete_at": "When a walk was last complete; null: never",
        "age": "Time since then; null: never complete",
        "stale": "Whether that is longer than stale_after; true where none was ever complete",
        "stale_after": "Age past which the account is stale",
        "last_status": "How the last walk ended: complete, incomplete or failed",
        "last_finished_at": "When the last walk was recorded",
        "consecutive_failures": "Walks that were not complete since the last complete one",
        "last_error_kind": "Stable word for the last error; null once complete again",
        "last_error": "The last error in one line; null once complete again",
    },
    "invoice_totals": {
        "": "Sums of the invoices that the API lists; those marked missing are left out",
        "account_id": "Cloudflare account that was billed",
        "currency": "ISO 4217 code as the API writes it",
        "month": "First day of the month of creation, UTC; null where the API gave no time",
        "status": "Status of the invoices, as the API words it",
        "invoices": "Number of invoices",
        "amount_due_minor": "Sum in the currency's minor unit",
        "amount_paid_minor": "Sum in the currency's minor unit",
        "amount_remaining_minor": "Sum in the currency's minor unit",
        "amount_due_major": "Sum in the currency itself, such as dollars, exactly",
        "amount_paid_major": "Sum in the currency itself, such as dollars, exactly",
        "amount_remaining_major": "Sum in the currency itself, such as dollars, exactly",
    },
}


def upgrade() -> None:
    for statement in (_CHANGES, _FRESHNESS, _TOTALS):
        op.execute(statement)
    for view, comments in _COMMENTS.items():
        for column, comment in comments.items():
            target = f"COLUMN {view}.{column}" if column else f"VIEW {view}"
            quoted = comment.replace("'", "''")
            op.execute(f"COMMENT ON {target} IS '{quoted}'")


def downgrade() -> None:
    for view in _COMMENTS:
        op.execute(f"DROP VIEW {view}")
