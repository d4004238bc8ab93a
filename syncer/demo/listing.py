"""What `GET /accounts` answers: the accounts that a login reaches, by pages. Pure.

Envelope, parameters, their limits and `result_info` are documented; the refusals are observed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from syncer.demo.answers import Reply, failure, terse_failure

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from syncer.demo.account import Login, Script, SimulatedAccount
    from syncer.demo.faults import JsonObject

_LIMITS: Final = {"page": (1, 10**9), "per_page": (5, 50)}
_PARAMETERS: Final = ("name", "page", "per_page", "direction")


@dataclass(slots=True)
class Listing:
    """How the list behaves; `script` is called before each answer, as an account's.

    `powerless` logins lack Account Settings Read, and get an empty list (observed). `owned_tokens`
    belong to an account and not to a user, and are refused (observed).
    """

    page_parameter: Literal["honoured", "ignored"] = "honoured"
    total_count: Literal["right", "absent"] | int = "right"
    powerless: set[Login] = field(default_factory=set, repr=False)
    owned_tokens: set[Login] = field(default_factory=set, repr=False)
    script: Script | None = field(default=None, repr=False)


def account_page(
    login: Login,
    accounts: Collection[SimulatedAccount],
    query: Mapping[str, str],
    listing: Listing,
) -> Reply:
    """Answer with a page of the accounts of which the login is a member."""
    if login in listing.owned_tokens:
        text = "List accounts endpoint does not support account owned tokens."
        return failure(400, {"code": 1001, "message": text})
    counts = {"page": 1, "per_page": 20}
    for name, value in query.items():
        least, most = _LIMITS.get(name, (0, 0))
        digits = re.fullmatch(r"[0-9]{1,9}", value)
        if name not in _PARAMETERS or (most and not (digits and least <= int(value) <= most)):
            return terse_failure(400, {"code": 1001, "message": f"Invalid parameter: {name}"})
        if most:
            counts[name] = int(value)
    mine = [
        account
        for account in accounts
        if login in account.logins | account.powerless and login not in listing.powerless
    ]
    page = counts["page"] if listing.page_parameter == "honoured" else 1
    start = (page - 1) * counts["per_page"]
    shown = mine[start : start + counts["per_page"]]
    info: JsonObject = {"page": page, "per_page": counts["per_page"], "count": len(shown)}
    if listing.total_count != "absent":
        info["total_count"] = len(mine) if listing.total_count == "right" else listing.total_count
        info["total_pages"] = math.ceil(len(mine) / counts["per_page"])
    result = [
        {"id": one.id, "name": one.name or one.id, "type": "standard", "settings": {}}
        for one in shown
    ]
    payload: JsonObject = {"success": True, "errors": [], "messages": [], "result": result}
    return Reply(200, payload | {"result_info": info})
