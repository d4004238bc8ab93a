"""The SQL behind `syncer report`. Every list is bounded, and says how many there are in all.

Accounts are joined from the left: an invoice counts also where nothing else is known of its
account. `:most` is how many lines a list may have.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

# One snapshot for all, so that the figures agree with each other while a sync goes on.
SNAPSHOT: Final = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

MADE: Final = text("SELECT now()")

UNRECORDED: Final = text("""
SELECT count(DISTINCT account_id) AS accounts, count(*) AS invoices
FROM invoices
WHERE missing_since IS NULL
    AND NOT EXISTS (SELECT FROM sync_state WHERE sync_state.account_id = invoices.account_id)
""")

# The largest accounts by themselves, the others as one line without a name.
OPEN: Final = text("""
SELECT
    currency,
    CASE WHEN place <= :most THEN account END AS account,
    count(*) AS accounts,
    count(*) FILTER (WHERE stale) AS stale,
    count(*) FILTER (WHERE stale IS NULL) AS unrecorded,
    sum(invoices) AS invoices,
    sum(amount) AS amount,
    sum(credit) AS credit,
    sum(CASE WHEN stale IS NOT FALSE THEN amount ELSE 0 * amount END) AS unsure
FROM (
    SELECT
        coalesce(account_name, account_id) AS account,
        currency,
        stale,
        count(*) AS invoices,
        sum(amount_remaining) * major_per_minor(currency) AS amount,
        sum(least(amount_remaining, 0)) * major_per_minor(currency) AS credit,
        row_number() OVER (
            PARTITION BY currency ORDER BY sum(amount_remaining) DESC, account_id
        ) AS place
    FROM invoices
    LEFT JOIN sync_freshness USING (account_id)
    WHERE status = 'open' AND missing_since IS NULL
    GROUP BY account_id, account_name, stale, currency
) AS ranked
GROUP BY currency, least(place, :most + 1), CASE WHEN place <= :most THEN account END
ORDER BY currency, least(place, :most + 1)
""")

_PAID: Final = """
WITH paid AS (
    SELECT account_id, currency, month, sum(amount_paid_major) AS amount
    FROM invoice_totals
    WHERE amount_paid_minor <> 0
    GROUP BY account_id, currency, month
),
-- A time that lies ahead is a mistake, and would push all real months out of the chart.
bounds AS (
    SELECT max(month) AS last, max(month) - interval '11 months' AS first
    FROM paid
    WHERE month <= now()
)
"""

PAID: Final = text(
    _PAID
    + """,
recent AS (
    SELECT paid.* FROM paid, bounds WHERE month BETWEEN bounds.first AND bounds.last
),
ranked AS (
    SELECT
        account_id,
        currency,
        row_number() OVER (PARTITION BY currency ORDER BY sum(amount) DESC, account_id) AS place
    FROM recent
    GROUP BY account_id, currency
)
SELECT
    month,
    currency,
    least(place, :most + 1) AS place,
    CASE WHEN place <= :most THEN coalesce(account_name, account_id) END AS account,
    sum(amount) AS amount
FROM recent
JOIN ranked USING (account_id, currency)
LEFT JOIN sync_state USING (account_id)
GROUP BY month, currency, least(place, :most + 1),
    CASE WHEN place <= :most THEN coalesce(account_name, account_id) END
ORDER BY currency, month, least(place, :most + 1)
"""
)

PAID_OTHERWISE: Final = text(
    _PAID
    + """
SELECT currency, sum(amount) AS amount
FROM paid, bounds
WHERE (month BETWEEN bounds.first AND bounds.last) IS NOT TRUE
GROUP BY currency
ORDER BY currency
"""
)

ORIGINS: Final = text("""
SELECT
    currency,
    coalesce(invoice_origin, '') AS origin,
    count(*) AS invoices,
    sum(amount_due) * major_per_minor(currency) AS due,
    sum(amount_paid) * major_per_minor(currency) AS paid,
    count(*) OVER () AS total
FROM invoices
WHERE missing_since IS NULL
GROUP BY currency, coalesce(invoice_origin, '')
ORDER BY currency, origin
LIMIT :most
""")

_FAILED: Final = """
FROM invoices
LEFT JOIN sync_state USING (account_id)
WHERE missing_since IS NULL AND status IN ('open', 'uncollectible')
    AND (attempted OR attempt_count > 0) AND amount_remaining > 0
"""

FAILED: Final = text(f"""
SELECT
    coalesce(account_name, account_id) AS account,
    id AS invoice_id,
    status,
    created_at,
    attempt_count AS attempts,
    currency,
    amount_remaining * major_per_minor(currency) AS amount,
    count(*) OVER () AS total
{_FAILED}
ORDER BY created_at NULLS FIRST, account_id, id
LIMIT :most
""")

FAILED_SUMS: Final = text(f"""
SELECT
    currency,
    status,
    count(*) AS invoices,
    sum(amount_remaining) * major_per_minor(currency) AS amount
{_FAILED}
GROUP BY currency, status
ORDER BY currency, status
""")

CHANGED: Final = text("""
SELECT
    observed_at,
    coalesce(account_name, account_id) AS account,
    invoice_id,
    change,
    before ->> 'status' AS before,
    after ->> 'status' AS after,
    (SELECT count(*) FROM invoice_changes WHERE change <> 'appeared') AS total
FROM invoice_changes
LEFT JOIN sync_state USING (account_id)
WHERE change <> 'appeared'
ORDER BY observed_at DESC, account_id, invoice_id
LIMIT :most
""")

VANISHED: Final = text("""
SELECT
    missing_since,
    coalesce(account_name, account_id) AS account,
    id AS invoice_id,
    status,
    currency,
    amount_due * major_per_minor(currency) AS amount,
    count(*) OVER () AS total
FROM invoices
LEFT JOIN sync_state USING (account_id)
WHERE missing_since IS NOT NULL
ORDER BY missing_since DESC, account_id, id
LIMIT :most
""")

# Not the payload, which may hold a link.
REJECTED: Final = text("""
SELECT
    first_seen_at,
    coalesce(account_name, account_id) AS account,
    reason,
    count(*) OVER () AS total
FROM rejected_invoices
LEFT JOIN sync_state USING (account_id)
ORDER BY first_seen_at DESC, account_id, payload_digest
LIMIT :most
""")

RUNS: Final = text("""
SELECT
    started_at, finished_at, trigger, status, accounts_total, accounts_complete,
    (SELECT count(*) FROM sync_runs) AS total
FROM sync_runs
ORDER BY started_at DESC, id
LIMIT :most
""")

RUN_DAYS: Final = text("""
SELECT
    cast(started_at AT TIME ZONE 'UTC' AS date) AS day,
    status,
    count(*) AS runs
FROM sync_runs
WHERE started_at > (SELECT max(started_at) FROM sync_runs) - interval '13 days'
GROUP BY 1, 2
ORDER BY 1, 2
""")

OUTCOMES: Final = text("""
SELECT account_syncs.status, reason, count(*) AS walks, max(account_syncs.finished_at) AS last_at
FROM account_syncs
JOIN sync_runs ON sync_runs.id = run_id
WHERE account_syncs.status IS NOT NULL
    AND sync_runs.started_at > (SELECT max(started_at) FROM sync_runs) - interval '13 days'
GROUP BY account_syncs.status, reason
ORDER BY walks DESC, account_syncs.status, reason
""")
