"""Any records, from the wire to the tables: stored to the last digit, or kept with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncer.invoice import Invoice
from tests import reading
from tests.integration.serving import record, sync
from tests.records import elements

if TYPE_CHECKING:
    from tests.integration.running import Site

CONTENT = [name for name in Invoice.__struct_fields__ if name != "extra"]
# Binary times and texts of the rest: what is compared was read back as it is stored.
STORED = f"""
    SELECT {", ".join(CONTENT)}, CAST(extra AS text) AS extra FROM invoices
    WHERE account_id = :account_id ORDER BY id
"""
REJECTED = "SELECT reason, payload FROM rejected_invoices WHERE account_id = :account_id"
# Which transaction wrote a row, and where it is: both change when it is rewritten.
VERSIONS = "SELECT CAST((xmin, ctid) AS text) AS row FROM {} WHERE account_id = :account_id"
WRITTEN = ("invoices", "invoice_history", "rejected_invoices", "account_digests")


def told_by(raw: bytes) -> Any:
    """The record as the second reader reads it, None where it must be rejected."""
    try:
        told = reading.read(raw)
    except (ValueError, RecursionError):
        return None
    return None if reading.faults(told) else told


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@settings(
    # Each one is two syncs of a new account, of many records.
    max_examples=settings().max_examples // 8,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(raw=st.lists(elements, min_size=20, max_size=50), has_rows=st.booleans())
async def test_what_was_sent_is_what_is_stored_or_else_rejected(
    here: Site, raw: list[bytes], *, has_rows: bool
) -> None:
    name = f"account-{len(here.accounts)}"
    here.add(name, 0)
    account_id = here.accounts[name].id
    # An account without rows is loaded, any other one merged.
    before = [record('"before"')] if has_rows else []
    raw = [*before, *raw]
    await sync(here, name, before)
    first = await sync(here, name, raw)

    assert (first.status, first.reason) == ("complete", None)
    rows = {row["id"]: row for row in await here.rows(STORED, account_id=account_id)}
    kept = {
        row["payload"]: row["reason"] for row in await here.rows(REJECTED, account_id=account_id)
    }
    newest = {}
    for one in raw:
        payload = one.decode(errors="backslashreplace").replace("\0", "\\u0000")
        read = told_by(one)
        if payload in kept:
            assert kept[payload]
            assert read is None or reading.is_extravagant(read)
        else:
            newest[read.get("id")] = read
    assert rows.keys() == newest.keys()
    for id_, row in rows.items():
        assert reading.agrees(Invoice(**row), newest[id_])

    written = [await here.rows(VERSIONS.format(t), account_id=account_id) for t in WRITTEN]
    second = await sync(here, name, raw)
    after = [await here.rows(VERSIONS.format(t), account_id=account_id) for t in WRITTEN]
    assert (second.status, second.inserted, second.updated) == ("complete", 0, 0)
    assert (second.unchanged, second.rejected) == (first.inserted + has_rows, first.rejected)
    assert after == written
