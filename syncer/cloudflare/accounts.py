"""Every account that a credential reaches, or why they are not all known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from syncer.cloudflare.account_list import PERMISSION
from syncer.errors import CloudflareError, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncer.account import Credential
    from syncer.cloudflare.client import CloudflareClient
    from syncer.cloudflare.tally import Tally

PER_PAGE: Final = 50  # the most that is documented
MAX_PAGES: Final = 400


@dataclass(frozen=True, slots=True)
class AccountList:
    """Names by id; with a `reason` and an `error` for people, it is not known to be whole."""

    names: Mapping[str, str]
    reason: Reason | None = None
    error: str = ""


async def list_accounts(
    client: CloudflareClient, label: str, credential: Credential, tally: Tally
) -> AccountList:
    """Ask for every page; `label` tells this list's requests from those of accounts."""
    names: dict[str, str] = {}
    total: int | None = None
    for number in range(1, MAX_PAGES + 1):
        query = {"page": str(number), "per_page": str(PER_PAGE)}
        try:
            page = await client.fetch_accounts(label, credential, query, tally)
        except CloudflareError as error:
            return AccountList(names, error.reason, str(error))
        total = page.total if page.total is not None else total
        if page.number not in {None, number} or (page.names and page.names.keys() <= names.keys()):
            text = "the API did not give the page of the list that was asked for"
            return AccountList(names, Reason.PAGINATION_NOT_HONOURED, text)
        names |= page.names
        if not page.names or (len(names) == total and number >= (page.pages or 0)):
            return _judge(names, total)
    text = f"the list of accounts has more than {MAX_PAGES} pages"
    return AccountList(names, Reason.PAGE_LIMIT, text)


def _judge(names: Mapping[str, str], total: int | None) -> AccountList:
    if total is not None and len(names) < total:
        text = f"the API listed {len(names)} accounts, and reported {total}"
        return AccountList(names, Reason.FEWER_THAN_REPORTED, text)
    if not names:
        text = f"the list of accounts is empty: the credential may lack {PERMISSION}"
        return AccountList(names, Reason.NOT_FOUND, text)
    return AccountList(names)
