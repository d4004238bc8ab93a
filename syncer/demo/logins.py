"""Who asks, and whether they may: the API's rules of authentication. Pure.

The codes are observed in public reports; which of 400, 401 and 403 comes with them varies there.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from syncer.demo.answers import failure, terse_failure

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from syncer.demo.account import Login, SimulatedAccount
    from syncer.demo.answers import Reply

_BEARER: Final = re.compile(r"Bearer ([A-Za-z0-9._~+/=-]+)")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Presented:
    """What a request authenticates with, or the refusal if that cannot be read; and a label."""

    label: str
    login: Login | Reply


def login_label(login: Login) -> str:
    """Name a login so that it can be told apart from others and is not shown."""
    kind, secret = ("token", login) if isinstance(login, str) else ("key", "\0".join(login))
    return f"{kind}-{hashlib.sha256(secret.encode()).hexdigest()[:8]}"


def read_login(headers: Mapping[str, str]) -> Presented:
    """Read `Authorization: Bearer`, else `X-Auth-Email` with `X-Auth-Key` (both documented)."""
    authorization = headers.get("Authorization")
    if authorization is not None:
        matched = _BEARER.fullmatch(authorization)
        if matched is None:
            return _malformed(6111, "Authorization")
        return Presented(login_label(matched[1]), matched[1])
    email, key = headers.get("X-Auth-Email"), headers.get("X-Auth-Key")
    if email is None or key is None:
        text = "Missing X-Auth-Key, X-Auth-Email or Authorization headers"
        return Presented("missing", terse_failure(400, {"code": 9106, "message": text}))
    if not _EMAIL.fullmatch(email):
        return _malformed(6102, "X-Auth-Email")
    if not _KEY.fullmatch(key):
        return _malformed(6103, "X-Auth-Key")
    return Presented(login_label((email, key)), (email, key))


def refusal_of(
    login: Login,
    account: SimulatedAccount | None,
    accounts: Collection[SimulatedAccount],
    *,
    unknown_token_status: int,
) -> Reply | None:
    """Say why this login may not read this account; None if it may, or if there is none."""
    if not any(login in known.logins | known.powerless for known in accounts):
        if isinstance(login, str):
            return _authentication_error(unknown_token_status)
        return failure(403, {"code": 9103, "message": "Unknown X-Auth-Key or X-Auth-Email"})
    if account is None or login in account.logins:
        return None
    if login in account.powerless:
        return _authentication_error(403)
    return failure(403, {"code": 9109, "message": "Unauthorized to access requested resource"})


def _authentication_error(status: int) -> Reply:
    return failure(status, {"code": 10000, "message": "Authentication error"})


def _malformed(code: int, header: str) -> Presented:
    cause = {"code": code, "message": f"Invalid format for {header} header"}
    error = {"code": 6003, "message": "Invalid request headers", "error_chain": [cause]}
    return Presented("malformed", failure(400, error))
