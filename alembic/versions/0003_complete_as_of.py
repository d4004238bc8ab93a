"""What an account's figures are complete up to, and which tick of the schedule was walked last.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_AS_OF = (
    "What the API listed at this time, of the types that are synced, is stored: when the last"
    " complete walk began"
)
_TICK = "Tick of the schedule that the last walk stood for; null: none"

# In the order of those who read the view: it first, then the table, which LOCK does as well.
_LOCK = "LOCK TABLE sync_freshness IN ACCESS EXCLUSIVE MODE"

# The journal knows it of the walks that were complete before there was a column.
_FILL = """
UPDATE sync_state
SET complete_as_of = complete.started_at
FROM (
    SELECT account_id, max(started_at) AS started_at
    FROM account_syncs
    WHERE status = 'complete'
    GROUP BY account_id
) AS complete
WHERE complete.account_id = sync_state.account_id
"""

# A new last column can be added to a view in its place, which keeps the rights of its readers.
_FRESHNESS = """
CREATE OR REPLACE VIEW sync_freshness AS
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
    last_error{added}
FROM sync_state
"""

_COMMENTS = {
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
}


def _comment(column: str, comment: str) -> None:
    op.execute(f"COMMENT ON COLUMN sync_freshness.{column} IS '{comment}'")


def upgrade() -> None:
    op.execute(_LOCK)
    for name, comment in (("complete_as_of", _AS_OF), ("last_tick", _TICK)):
        op.add_column("sync_state", sa.Column(name, sa.DateTime(timezone=True), comment=comment))
    op.execute(_FILL)
    op.execute(_FRESHNESS.format(added=",\n    complete_as_of"))
    _comment("complete_as_of", _AS_OF)


def downgrade() -> None:
    op.execute("DROP VIEW sync_freshness")
    op.execute(_FRESHNESS.format(added=""))
    op.execute("COMMENT ON VIEW sync_freshness IS 'How old what is stored of each account may be'")
    for column, comment in _COMMENTS.items():
        _comment(column, comment)
    op.drop_column("sync_state", "last_tick")
    op.drop_column("sync_state", "complete_as_of")
