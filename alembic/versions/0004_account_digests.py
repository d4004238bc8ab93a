"""What each account's last walk was served, so that the next one need not compare it all again.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


# What is in the digests is what the last walk stored. Whatever else becomes of a row, by whatever
# hand, they tell nothing of the account any more; a walk that changes rows keeps its own after it.
# The row is written in any case, void or absent as it may be: so whoever comes while a walk is
# being stored waits for its digests, and the walk sees who came before it.
#
# Whoever may change invoices need have no rights on the digests for that, and gets none: names of
# the session's own, such as those of its temporary tables, mean nothing here. The schema's is asked
# for each time, so that it may be renamed.
_FORGET = """
CREATE FUNCTION forget_account_digests() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        EXECUTE format('UPDATE %I.account_digests SET version = 0', TG_TABLE_SCHEMA);
    ELSE
        EXECUTE format($insert$
            INSERT INTO %I.account_digests (
                account_id, version, run_id, compared_at, invoices, settled, pages
            )
            SELECT account_id, 0, gen_random_uuid(), now(), 0, false, ''
            FROM (SELECT DISTINCT account_id FROM touched ORDER BY account_id) AS accounts
            ON CONFLICT (account_id) DO UPDATE SET version = 0
        $insert$, TG_TABLE_SCHEMA);
    END IF;
    RETURN NULL;
END
$$
"""

# A trigger needs it of nobody but who makes it, which others could do on a table of their own.
_KEEP_TO_OURSELVES = "REVOKE EXECUTE ON FUNCTION forget_account_digests() FROM PUBLIC"

_ON_UPDATE_AND_DELETE = """
CREATE TRIGGER invoices_forget_on_{event} AFTER {event} ON invoices
REFERENCING OLD TABLE AS touched
FOR EACH STATEMENT EXECUTE FUNCTION forget_account_digests()
"""

_ON_TRUNCATE = """
CREATE TRIGGER invoices_forget_on_truncate AFTER TRUNCATE ON invoices
FOR EACH STATEMENT EXECUTE FUNCTION forget_account_digests()
"""


def upgrade() -> None:
    op.create_table(
        "account_digests",
        sa.Column("account_id", sa.Text, nullable=False, comment="Cloudflare account"),
        sa.Column("version", sa.Integer, nullable=False, comment="Version of what a digest covers"),
        sa.Column("run_id", sa.UUID, nullable=False, comment="Run that stored the walk"),
        sa.Column(
            "compared_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Since when digests show every change",
        ),
        sa.Column(
            "invoices",
            sa.BigInteger,
            nullable=False,
            comment="Rows of invoices that the account had then",
        ),
        sa.Column(
            "settled",
            sa.Boolean,
            nullable=False,
            comment="Whether what was missing then was marked",
        ),
        sa.Column(
            "pages", sa.LargeBinary, nullable=False, comment="Digests, as MessagePack; empty: none"
        ),
        sa.PrimaryKeyConstraint("account_id", name="account_digests_pkey"),
        comment="What each account's last walk was served, in digests; for syncer alone",
    )
    # Digests cannot be compressed, so nobody should try.
    op.execute("ALTER TABLE account_digests ALTER pages SET STORAGE EXTERNAL")
    op.execute(_FORGET)
    op.execute(_KEEP_TO_OURSELVES)
    op.execute(_ON_UPDATE_AND_DELETE.format(event="update"))
    op.execute(_ON_UPDATE_AND_DELETE.format(event="delete"))
    op.execute(_ON_TRUNCATE)


def downgrade() -> None:
    for event in ("update", "delete", "truncate"):
        op.execute(f"DROP TRIGGER invoices_forget_on_{event} ON invoices")
    op.execute("DROP FUNCTION forget_account_digests()")
    op.drop_table("account_digests")
