"""When the last complete walk of an account began: what its figures are complete up to.

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

_COMMENT = "What the API listed at this time is stored: when the last complete walk began"

# The journal knows it of the walks that were complete before there was a column.
_FILL = """
UPDATE sync_state
SET complete_as_of = (
    SELECT max(started_at)
    FROM account_syncs
    WHERE account_syncs.account_id = sync_state.account_id AND status = 'complete'
)
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
    op.add_column(
        "sync_state",
        sa.Column("complete_as_of", sa.DateTime(timezone=True), comment=_COMMENT),
    )
    op.execute(_FILL)
    op.execute(_FRESHNESS.format(added=",\n    complete_as_of"))
    _comment("complete_as_of", _COMMENT)


def downgrade() -> None:
    op.execute("DROP VIEW sync_freshness")
    op.execute(_FRESHNESS.format(added=""))
    op.execute("COMMENT ON VIEW sync_freshness IS 'How old what is stored of each account may be'")
    for column, comment in _COMMENTS.items():
        _comment(column, comment)
    op.drop_column("sync_state", "complete_as_of")
