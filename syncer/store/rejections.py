"""Records that cannot be invoices, kept for a person to look at."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from sqlalchemy import text

from syncer.store.rows import in_slices

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from syncer.invoice import Rejection

_KEEP = text("""
INSERT INTO rejected_invoices (account_id, payload_digest, run_id, reason, payload, first_seen_at)
SELECT cast(:account_id AS text), digest, cast(:run_id AS uuid), reason, payload, now()
FROM unnest(
    cast(:digest AS bytea[]), cast(:reason AS text[]), cast(:payload AS text[])
) AS sent (digest, reason, payload)
ON CONFLICT DO NOTHING
""")


async def keep_rejections(
    conn: AsyncConnection, account_id: str, run_id: UUID, rejections: Sequence[Rejection]
) -> None:
    """Store the records that are not stored yet; the caller owns the transaction."""
    for rows in in_slices(
        sorted(rejections, key=attrgetter("digest")), attrgetter("reason", "payload")
    ):
        await conn.execute(
            _KEEP,
            {
                "account_id": account_id,
                "run_id": run_id,
                "digest": [rejection.digest for rejection in rows],
                "reason": [rejection.reason for rejection in rows],
                "payload": [rejection.payload for rejection in rows],
            },
        )
