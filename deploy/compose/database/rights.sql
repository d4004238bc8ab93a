-- What the daemon and the people who read figures may do, as docs/operations.md has it, and
-- what Grafana's role may; run by the owner with psql after each migration, because it may have
-- brought new tables.

GRANT USAGE ON SCHEMA public TO syncer_daemon;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO syncer_daemon;
GRANT INSERT ON
    invoices, invoice_history, rejected_invoices, sync_state, sync_runs, account_syncs, account_digests
TO syncer_daemon;
GRANT UPDATE ON invoices, sync_state, sync_runs, account_syncs, account_digests TO syncer_daemon;

GRANT USAGE ON SCHEMA public TO reporting;
GRANT SELECT ON invoice_totals, sync_freshness, sync_state, sync_runs, account_syncs TO reporting;
GRANT SELECT (
    account_id, id, status, currency, amount_due, amount_paid, amount_remaining, created_at, description,
    first_seen_at, changed_at, missing_since
) ON invoices TO reporting;

GRANT USAGE ON SCHEMA public TO grafana;
GRANT SELECT ON invoice_totals, sync_freshness, sync_state, sync_runs TO grafana;
GRANT SELECT (account_id, invoice_id, observed_at, change) ON invoice_changes TO grafana;
