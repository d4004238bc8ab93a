"""Records as bytes, served on one page of a simulated account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncer.demo.faults import Answer
from syncer.stop import Stop
from tests.integration.running import of
from tests.records import page_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncer.store.journal import AccountRecord
    from tests.integration.running import Site


def record(id_: str, **fields: str) -> bytes:
    """An invoice made of JSON texts, of which the id is one."""
    plain = {"currency": '"usd"', "amount_due": "7", "amount_paid": "0", "amount_remaining": "7"}
    pairs = {"id": id_} | plain | fields
    return ("{" + ",".join(f'"{name}":{text}' for name, text in pairs.items()) + "}").encode()


async def sync(here: Site, name: str, records: Sequence[bytes]) -> AccountRecord:
    """Sync the account alone, which has these records."""
    here.simulated[name].script = lambda _nth, _seen: Answer(200, page_of(records))
    result = await here.runner().run(
        [here.accounts[name]], trigger="command", tick=None, stop=Stop()
    )
    return of(result, name)
