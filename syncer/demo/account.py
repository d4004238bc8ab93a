"""A simulated account, and what the simulation remembers of a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from syncer.demo.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncer.demo.faults import JsonObject

# An API token, or an e-mail address with its global API key.
Login: TypeAlias = str | tuple[str, str]


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request as it was on the wire.

    `nth` counts the requests for this account id from 1; `account_id` is empty where the path has
    none. `credential` is a label that tells credentials apart without showing any. `at` is the
    API's monotonic clock; `in_flight` counts this request too; `ray_id` is the answer's `CF-Ray`.
    """

    nth: int
    method: str
    path: str
    account_id: str
    query: Mapping[str, str]
    credential: str
    user_agent: str
    accept: str
    at: float
    in_flight: int
    ray_id: str


# Called before each request of an account is answered, with the request's number within the
# account. It may change the account, and say what goes wrong with this one request.
Script: TypeAlias = Callable[[int, SeenRequest], Fault | Awaitable[Fault | None] | None]


@dataclass(slots=True)
class SimulatedAccount:
    """One account: who may read it, and its invoices in wire shape, newest first.

    `powerless` logins are valid for the account but lack the AI Gateway permission. Amounts are
    `int` or `Decimal` and go over the wire digit by digit. Everything may be changed between two
    requests. It is listed by its `name`, by its id where it has none.
    """

    id: str
    logins: set[Login] = field(default_factory=set, repr=False)
    powerless: set[Login] = field(default_factory=set, repr=False)
    invoices: list[JsonObject] = field(default_factory=list, repr=False)
    script: Script | None = field(default=None, repr=False)
    name: str = ""
