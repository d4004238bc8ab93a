"""Every version of an invoice, for "as of a date", and a currency's major unit by itself.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Exponents as Stripe applies them, https://docs.stripe.com/currencies: ISK and UGX have no minor
# unit any more, but amounts are in hundredths all the same. A product by a power of ten keeps
# every digit, where a quotient would be rounded.
_CASE = """CASE
            WHEN upper(currency) IN (
                'BIF', 'CLP', 'DJF', 'GNF', 'JPY', 'KMF', 'KRW', 'MGA', 'PYG', 'RWF', 'VND',
                'VUV', 'XAF', 'XOF', 'XPF'
            ) THEN 1
            WHEN upper(currency) IN ('BHD', 'JOD', 'KWD', 'OMR', 'TND') THEN 0.001
            ELSE 0.01
        END"""

# Its body is parsed here and now, so that nobody's search_path means anything to it.
_MAJOR_PER_MINOR = f"""
CREATE FUNCTION major_per_minor(currency text) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN {_CASE}
"""

# Replaced in its place, which keeps the rights of its readers.
_TOTALS = """
CREATE OR REPLACE VIEW invoice_totals AS
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
        {major_per_minor} AS major_per_minor
    FROM invoices
    -- What the API lists no more, such as a deleted draft, is no longer billed.
    WHERE missing_since IS NULL
) AS listed
GROUP BY account_id, currency, month, status, major_per_minor
"""

# What an invoice held when it was first seen is what its first change replaced.
_VERSIONS = """
CREATE VIEW invoice_versions AS
SELECT
    account_id,
    invoice_id,
    row_number() OVER version AS version,
    valid_from,
    lead(valid_from) OVER version AS valid_to,
    change,
    change <> 'missing' AS listed,
    content ->> 'status' AS status,
    content ->> 'currency' AS currency,
    cast(content ->> 'amount_due' AS numeric) AS amount_due,
    cast(content ->> 'amount_paid' AS numeric) AS amount_paid,
    cast(content ->> 'amount_remaining' AS numeric) AS amount_remaining,
    cast(content ->> 'attempt_count' AS bigint) AS attempt_count,
    cast(content ->> 'created_at' AS timestamptz) AS created_at,
    content
FROM (
    SELECT
        account_id,
        id AS invoice_id,
        cast(0 AS bigint) AS position,
        first_seen_at AS valid_from,
        'appeared' AS change,
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
        ) AS content
    FROM invoices
    UNION ALL
    SELECT account_id, invoice_id, id, observed_at, change, coalesce(after, before)
    FROM invoice_history
) AS seen
WINDOW version AS (PARTITION BY account_id, invoice_id ORDER BY position)
"""

_COMMENTS = {
    "FUNCTION major_per_minor(text)": "What one minor unit of a currency is in the currency itself:"
    " 0.01 for USD, 1 for JPY, 0.001 for KWD; 0.01 for what it does not know",
    "VIEW invoice_versions": "Every version of every invoice as it was stored, and from when to"
    " when: those of a moment are WHERE valid_from <= moment AND coalesce(valid_to > moment, true)",
    "COLUMN invoice_versions.account_id": "Account of the invoice",
    "COLUMN invoice_versions.invoice_id": "Id of the invoice",
    "COLUMN invoice_versions.version": "1 for its first sight, then one more for each change",
    "COLUMN invoice_versions.valid_from": "When this version was stored",
    "COLUMN invoice_versions.valid_to": "When the next one was stored; null: it is the present one",
    "COLUMN invoice_versions.change": "What made it: appeared, changed, missing or reappeared",
    "COLUMN invoice_versions.listed": "Whether the API listed the invoice; false from missing on",
    "COLUMN invoice_versions.status": "Status, as the API words it",
    "COLUMN invoice_versions.currency": "ISO 4217 code as the API writes it",
    "COLUMN invoice_versions.amount_due": "In the currency's minor unit",
    "COLUMN invoice_versions.amount_paid": "In the currency's minor unit",
    "COLUMN invoice_versions.amount_remaining": "In the currency's minor unit",
    "COLUMN invoice_versions.attempt_count": "Attempts to collect the payment",
    "COLUMN invoice_versions.created_at": "When the invoice was created",
    "COLUMN invoice_versions.content": "The whole content, without the PDF link; the last known one"
    " where it is missing",
}


def upgrade() -> None:
    op.execute(_MAJOR_PER_MINOR)
    op.execute(_TOTALS.format(major_per_minor="major_per_minor(currency)"))
    op.execute(_VERSIONS)
    for target, comment in _COMMENTS.items():
        quoted = comment.replace("'", "''")
        op.execute(f"COMMENT ON {target} IS '{quoted}'")


def downgrade() -> None:
    op.execute("DROP VIEW invoice_versions")
    op.execute(_TOTALS.format(major_per_minor=_CASE))
    op.execute("DROP FUNCTION major_per_minor(text)")
