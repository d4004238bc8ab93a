"""The adapter to PostgreSQL: the only place that knows SQL."""
