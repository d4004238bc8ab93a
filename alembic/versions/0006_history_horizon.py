"""From when on the history is whole, so that the views tell nothing of times before it.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_SINCE = "(SELECT coalesce(max(since), '-infinity') FROM history_horizon)"

# Views are replaced in their place, which keeps the rights of their readers.
_CHANGES = """
CREATE OR REPLACE VIEW invoice_changes AS
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
        {now}
    ) AS after
FROM invoices
{seen}
UNION ALL
SELECT account_id, invoice_id, run_id, observed_at, change, before, after
FROM invoice_history
{observed}
"""

_VERSIONS = """
CREATE OR REPLACE VIEW invoice_versions AS
SELECT
    account_id,
    invoice_id,
    row_number() OVER version AS version,
    valid_from,
    lead(valid_from) OVER version AS valid_to,
    change,
    {listed} AS listed,
    content ->> 'status' AS status,
    content ->> 'currency' AS currency,
    cast(content ->> 'amount_due' AS numeric) AS amount_due,
    cast(content ->> 'amount_paid' AS numeric) AS amount_paid,
    cast(content ->> 'amount_remaining' AS numeric) AS amount_remaining,
    cast(content ->> 'attempt_count' AS bigint) AS attempt_count,
    cast(content ->> 'created_at' AS timestamptz) AS created_at,
    content
FROM (
{first}
    UNION ALL
{others}
) AS seen
WINDOW version AS (PARTITION BY account_id, invoice_id ORDER BY position)
"""

_NOW = """to_jsonb(invoices) - cast(
                '{account_id,invoice_pdf,invoice_pdf_at,first_seen_at,changed_at,missing_since}'
                AS text[]
            )"""

# What was stored at the horizon is what the first change after it replaced, or is there still.
# An invoice that this change found again was not listed until then.
_FIRST = """
    SELECT
        invoices.account_id,
        invoices.id AS invoice_id,
        cast(0 AS bigint) AS position,
        greatest(first_seen_at, {since}) AS valid_from,
        CASE WHEN first_seen_at > {since} THEN 'appeared' ELSE 'kept' END AS change,
        first_seen_at > {since}
            OR coalesce(next.change <> 'reappeared', missing_since IS NULL) AS listed,
        coalesce(
            next.before,
            {now}
        ) AS content
    FROM invoices
    LEFT JOIN LATERAL (
        SELECT invoice_history.change, invoice_history.before
        FROM invoice_history
        WHERE invoice_history.account_id = invoices.account_id
            AND invoice_history.invoice_id = invoices.id
            AND invoice_history.observed_at > {since}
        ORDER BY invoice_history.id
        LIMIT 1
    ) AS next ON true"""

_OTHERS = """
    SELECT
        account_id, invoice_id, id, observed_at, change, change <> 'missing',
        coalesce(after, before)
    FROM invoice_history
    WHERE observed_at > {since}"""

_OLD_FIRST = """
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
            {now}
        ) AS content
    FROM invoices"""

_OLD_OTHERS = """
    SELECT account_id, invoice_id, id, observed_at, change, coalesce(after, before)
    FROM invoice_history"""

_COMMENTS = {
    "VIEW invoice_changes": "Everything that happened to invoices after history_horizon.since, in"
    " time: first sights and the whole history",
    "VIEW invoice_versions": "Every version of every invoice as it was stored, and from when to"
    " when: those of a moment are WHERE valid_from <= moment AND coalesce(valid_to > moment, true);"
    " none of a moment before history_horizon.since",
    "COLUMN invoice_versions.version": "1 for the oldest that is told, then one more for each"
    " change",
    "COLUMN invoice_versions.valid_from": "When this version was stored; history_horizon.since"
    " where it was kept",
    "COLUMN invoice_versions.change": "What made it: appeared, changed, missing or reappeared; kept"
    " where that was before history_horizon.since",
}

_OLD_COMMENTS = {
    "VIEW invoice_changes": "Everything that happened to invoices, in time: first sights and the"
    " whole history",
    "VIEW invoice_versions": "Every version of every invoice as it was stored, and from when to"
    " when: those of a moment are WHERE valid_from <= moment AND coalesce(valid_to > moment, true)",
    "COLUMN invoice_versions.version": "1 for its first sight, then one more for each change",
    "COLUMN invoice_versions.valid_from": "When this version was stored",
    "COLUMN invoice_versions.change": "What made it: appeared, changed, missing or reappeared",
}

# Nothing else knows it, should the newer version come back.
_DROP_UNLESS_NEEDED = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM history_horizon) THEN
        DROP TABLE history_horizon;
    END IF;
END
$$
"""


def _comment(comments: dict[str, str]) -> None:
    for target, comment in comments.items():
        quoted = comment.replace("'", "''")
        op.execute(f"COMMENT ON {target} IS '{quoted}'")


def upgrade() -> None:
    op.create_table(
        "history_horizon",
        sa.Column(
            "singleton",
            sa.Boolean,
            server_default=sa.true(),
            nullable=False,
            comment="Always true, so that there is one row at most",
        ),
        sa.Column(
            "since",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="What was stored at this time is known, and every change after it",
        ),
        sa.PrimaryKeyConstraint("singleton", name="history_horizon_pkey"),
        sa.CheckConstraint("singleton", name="history_horizon_singleton_check"),
        comment="From when on the history is whole; no row: nothing of it was ever deleted",
        if_not_exists=True,
    )
    op.execute(
        _CHANGES.format(
            now=_NOW,
            seen=f"WHERE first_seen_at > {_SINCE}",
            observed=f"WHERE observed_at > {_SINCE}",
        )
    )
    op.execute(
        _VERSIONS.format(
            listed="listed",
            first=_FIRST.format(since=_SINCE, now=_NOW),
            others=_OTHERS.format(since=_SINCE),
        )
    )
    _comment(_COMMENTS)


def downgrade() -> None:
    op.execute(_CHANGES.format(now=_NOW, seen="", observed=""))
    op.execute(
        _VERSIONS.format(
            listed="change <> 'missing'",
            first=_OLD_FIRST.format(now=_NOW),
            others=_OLD_OTHERS,
        )
    )
    _comment(_OLD_COMMENTS)
    op.execute(_DROP_UNLESS_NEEDED)
