-- Makes the roles and gives them the passwords that the files hold now; run by the superuser with
-- psql before each migration. A password that was changed in its file holds after that.

-- A statement that fails would stand in the server's log, and the password with it.
SET log_min_error_statement = panic;
SET log_statement = none;

SELECT format('CREATE ROLE %I', name)
FROM unnest(ARRAY['syncer', 'syncer_daemon', 'reporting', 'grafana']) AS wanted (name)
WHERE to_regrole(name) IS NULL
\gexec

\set owner_password `cat /run/secrets/owner_password`
\set daemon_password `cat /run/secrets/daemon_password`
\set reporting_password `cat /run/secrets/reporting_password`
\set grafana_password `cat /run/secrets/grafana_database_password`
ALTER ROLE syncer LOGIN PASSWORD :'owner_password';
ALTER ROLE syncer_daemon LOGIN PASSWORD :'daemon_password';
ALTER ROLE reporting LOGIN PASSWORD :'reporting_password';
ALTER ROLE grafana LOGIN PASSWORD :'grafana_password';
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '30s';

ALTER DATABASE syncer OWNER TO syncer;
REVOKE ALL ON DATABASE syncer FROM PUBLIC;
GRANT CONNECT ON DATABASE syncer TO syncer_daemon, reporting, grafana;
