"""What an answer means that brings no page: status and codes → a typed error.

Pure. Statuses and codes are as seen in public reports, where both vary for one cause.
"""

from __future__ import annotations

import base64
import codecs
import re
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec

from syncer.cloudflare.headers import ray_id, retry_after_s
from syncer.errors import (
    AccessDenied,
    AccountNotFound,
    CloudflareError,
    MalformedResponse,
    ParameterRefused,
    RateLimited,
    RequestRejected,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

BAD_CREDENTIAL_CODES: Final = frozenset({6003, 6111, 9103, 9106, 9109, 10000})
UNKNOWN_ACCOUNT_CODE: Final = 7003
REFUSED_PARAMETER_CODE: Final = 7001
THROTTLED_CODES: Final = frozenset({971, 10100})

_MEANINGS: Final[dict[type[CloudflareError], str]] = {
    AccessDenied: "access denied: the credential is wrong, or lacks the permission AI Gateway Read"
    " for this account",
    AccountNotFound: "the API knows no such account: check its id",
    ParameterRefused: "the API refuses a query parameter",
    RequestRejected: "the API rejects the request",
    RateLimited: "the API throttles this credential",
    Unavailable: "the API is unavailable",
    MalformedResponse: "the answer is not one that the API documents",
}

# Enough of the API's own words to act on, without what could be a secret or a link.
_MAX_WORDS: Final = 200
_MAX_CODES: Final = 5
# The API's own have five digits; thousands of digits are no code, and no line for people.
_CODES: Final = range(10**9 + 1)
_SECRET_LIKE = re.compile(r"https?://\S+|[A-Za-z0-9_\-+/=%.~]{20,}|[^\x20-\x7e]")


def refusal(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str],
    meanings: Mapping[type[CloudflareError], str] = MappingProxyType({}),
) -> CloudflareError:
    """Say what an answer means that is no page, by its status and the codes in its envelope.

    The message quotes the API only where that helps, and never one of `secrets`. `meanings` are
    what to say instead of what is said about invoices.
    """
    found = list(_api_errors(body))
    codes = tuple(code for code, _ in found)
    kind = _kind_of_error(status, frozenset(codes))
    code_text = "".join(f", code {code}" for code in codes[:_MAX_CODES])
    message = f"{meanings.get(kind, _MEANINGS[kind])} (HTTP {status}{code_text})"
    if issubclass(kind, RequestRejected) and found:
        # Hidden first, then cut: half a token is no longer recognised as one.
        message += f": {_without_secrets(found[0][1], secrets)[:_MAX_WORDS]}"
    return kind(
        message,
        status=status,
        codes=codes,
        ray_id=ray_id(headers, secrets),
        retry_after_s=retry_after_s(headers),
    )


def _without_secrets(words: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        encoded = base64.b64encode(secret.encode()).decode()
        # Without its padding, which may be left out.
        for form in (secret, quote(secret, safe=""), encoded.rstrip("=")):
            words = words.replace(form, "…")
    return _SECRET_LIKE.sub("…", words)


def _kind_of_error(status: int, codes: frozenset[int]) -> type[CloudflareError]:
    if status == HTTPStatus.TOO_MANY_REQUESTS or codes & THROTTLED_CODES:
        return RateLimited
    if status == HTTPStatus.REQUEST_TIMEOUT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unavailable
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) or codes & BAD_CREDENTIAL_CODES:
        return AccessDenied
    if status == HTTPStatus.NOT_FOUND or UNKNOWN_ACCOUNT_CODE in codes:
        return AccountNotFound
    if REFUSED_PARAMETER_CODE in codes and status in (HTTPStatus.OK, HTTPStatus.BAD_REQUEST):
        return ParameterRefused
    if status >= HTTPStatus.BAD_REQUEST or codes:
        return RequestRejected
    return MalformedResponse


def _api_errors(body: bytes) -> Iterator[tuple[int, str]]:
    """Code and message of every error in the envelope, chained ones behind their parent."""
    try:
        document = msgspec.json.decode(body.removeprefix(codecs.BOM_UTF8))
    except (ValueError, RecursionError):
        return
    pending = [document.get("errors")] if isinstance(document, dict) else []
    while pending:
        errors = pending.pop()
        for error in errors if isinstance(errors, list) else ():
            code = error.get("code") if isinstance(error, dict) else None
            # A boolean is an int to Python, and never a code.
            if type(code) is int and code in _CODES:
                yield code, str(error.get("message", ""))
                pending.append(error.get("error_chain"))
