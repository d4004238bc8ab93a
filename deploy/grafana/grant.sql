-- The role that Grafana reads with; run by the owner with psql, in the schema of the tables. It sees
-- what happened to invoices and when, but no content of theirs, which may hold links to PDFs.
-- Then give it a password: \password grafana
CREATE ROLE grafana LOGIN;
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '30s';
GRANT USAGE ON SCHEMA public TO grafana;
GRANT SELECT ON invoice_totals, sync_freshness, sync_state, sync_runs TO grafana;
GRANT SELECT (account_id, invoice_id, observed_at, change) ON invoice_changes TO grafana;
