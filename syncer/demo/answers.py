"""What the API answers: settings, envelopes, the query's rules and one page. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from syncer.demo.budget import Limit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from syncer.demo.faults import JsonObject

PARAMETERS: Final = ("type", "page", "per_page")
INVOICE_TYPES: Final = ("auto", "manual", "all")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_THROTTLE_MESSAGES: Final = {
    971: "Please wait and consider throttling your request speed",
    10100: (
        "More than 1200 requests per 300 seconds reached. "
        "Please wait and consider throttling your request speed"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How this API behaves where the documentation leaves it open.

    The default and the largest `per_page`, a page past the end, and how true `total_count` is, are
    documented nowhere, so tests have to try every one of them.
    """

    default_per_page: int = 50
    max_per_page: int = 50
    # Observed on other Cloudflare endpoints: 400 for a `per_page` that is too large.
    # "misplace" cuts a page that begins where it would uncut: what is between two is on none.
    oversized: Literal["clamp", "refuse", "misplace"] = "clamp"
    # Inferred: `page` and `per_page` are undocumented and may one day be refused.
    refused_parameters: frozenset[str] = frozenset()
    # Observed on other Cloudflare endpoints: page 1 for ever.
    page_parameter: Literal["honoured", "ignored"] = "honoured"
    past_the_end: Literal["empty", "400", "404", "last"] = "empty"
    # A number is a constant lie; None is a null.
    total_count: Literal["right", "absent"] | int | None = "right"
    # Documented is "both", with `result_info` optional.
    pagination_in: Literal["both", "result", "result_info"] = "both"
    # Documented by Stripe: links expire and may be issued anew at each fetch.
    pdf_links: Literal["stable", "anew"] = "stable"
    # Observed: status and code both vary for one cause.
    unknown_token_status: Literal[401, 403] = 401
    throttle_code: Literal[971, 10100] = 971
    # Documented; a credential's limits are those of its first request.
    limits: tuple[Limit, ...] = (Limit("default", 1200, 300),)


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, JSON payload and the headers of this answer alone."""

    status: int
    payload: JsonObject
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Query:
    """The parameters of one request, checked; `per_page` is the granted one.

    A page begins `stride` invoices behind the one before it.
    """

    invoice_type: str
    page: int
    per_page: int
    stride: int


def failure(status: int, *errors: JsonObject) -> Reply:
    """Refuse with the documented error envelope."""
    return Reply(status, {"success": False, "errors": list(errors), "messages": [], "result": None})


def terse_failure(status: int, *errors: JsonObject) -> Reply:
    """Refuse without `messages`, as it was observed for some errors."""
    return Reply(status, {"success": False, "errors": list(errors), "result": None})


def no_route(path: str, *, status: int) -> Reply:
    """Refuse an unknown path or a malformed identifier; observed with 400 and with 404."""
    no_such_route = {"code": 7000, "message": "No route for that URI"}
    return failure(status, _unroutable(path), no_such_route)


def unknown_account(path: str) -> Reply:
    """Refuse an identifier that is well formed and that nobody has."""
    return failure(404, _unroutable(path))


def wrong_method(method: str) -> Reply:
    """Refuse a method; observed with the code of a refused parameter, at another status."""
    return failure(405, {"code": 7001, "message": f"Method {method} not available for that URI."})


def throttled(code: int, retry_after_s: int) -> Reply:
    """Refuse for now: `Retry-After` in whole seconds is documented, code and text are observed."""
    reply = failure(429, {"code": code, "message": _THROTTLE_MESSAGES[code]})
    return Reply(reply.status, reply.payload, {"Retry-After": str(retry_after_s)})


def read_query(query: Mapping[str, str], settings: Settings) -> Query | Reply:
    """Check the parameters, or refuse them with 400.

    Observed: AI Gateway's validator answers 7001 with the `path` of what is wrong. A parameter that
    nobody has seen working is refused as well, so that a misspelt one is noticed.
    """
    unknown = [
        name for name in query if name not in PARAMETERS or name in settings.refused_parameters
    ]
    if unknown:
        names = ", ".join(f"'{name}'" for name in unknown)
        return _invalid(f"Unrecognized key(s) in object: {names}", "query")
    invoice_type = query.get("type", "all")
    if invoice_type not in INVOICE_TYPES:
        text = f"Invalid enum value. Expected 'auto' | 'manual' | 'all', received '{invoice_type}'"
        return _invalid(text, "query", "type")
    counts = {"page": 1, "per_page": settings.default_per_page}
    for name in filter(query.__contains__, counts):
        if not _NUMBER.fullmatch(query[name]):
            return _invalid("Expected number, received nan", "query", name)
        counts[name] = int(query[name])
        if counts[name] < 1:
            return _invalid("Number must be greater than or equal to 1", "query", name)
    if counts["per_page"] > settings.max_per_page and settings.oversized == "refuse":
        text = f"Number must be less than or equal to {settings.max_per_page}"
        return _invalid(text, "query", "per_page")
    page = counts["page"] if settings.page_parameter == "honoured" else 1
    granted = min(counts["per_page"], settings.max_per_page)
    stride = counts["per_page"] if settings.oversized == "misplace" else granted
    return Query(invoice_type, page, granted, stride)


def invoice_page(
    invoices: Sequence[JsonObject], query: Query, settings: Settings, *, issue: int
) -> Reply:
    """Answer with one page of an account's invoices; `issue` tells anew issued PDF links apart.

    The envelope is documented; that pages count from 1 and the newest invoice comes first (the
    account's own order) is observed.
    """
    chosen = invoices
    if query.invoice_type != "all":
        chosen = [one for one in invoices if one.get("invoice_origin") == query.invoice_type]
    last_page = max(1, math.ceil(len(chosen) / query.stride))
    page = query.page
    if page > last_page:
        match settings.past_the_end:
            case "400":
                return _invalid("Page is out of range", "query", "page")
            case "404":
                return terse_failure(404, {"code": 7002, "message": "Not Found"})
            case "last":
                page = last_page
    start = (page - 1) * query.stride
    shown = chosen[start : start + query.per_page]
    if settings.pdf_links == "anew":
        shown = [_with_new_link(invoice, issue) for invoice in shown]
    pagination: JsonObject = {
        "has_more": page < last_page,
        "page": page,
        "per_page": query.per_page,
    }
    if settings.total_count != "absent":
        right = settings.total_count == "right"
        pagination["total_count"] = len(chosen) if right else settings.total_count
    return Reply(200, _success(shown, pagination, settings))


def _unroutable(path: str) -> JsonObject:
    message = f"Could not route to {path}, perhaps your object identifier is invalid?"
    return {"code": 7003, "message": message}


def _success(
    invoices: Sequence[JsonObject], pagination: JsonObject, settings: Settings
) -> JsonObject:
    result: JsonObject = {"invoices": invoices}
    payload: JsonObject = {"success": True, "errors": [], "messages": [], "result": result}
    if settings.pagination_in != "result_info":
        result["pagination"] = pagination
    if settings.pagination_in != "result":
        payload["result_info"] = dict(pagination)
    return payload


def _with_new_link(invoice: JsonObject, issue: int) -> JsonObject:
    link = invoice.get("invoice_pdf")
    return {**invoice, "invoice_pdf": f"{link}&issue={issue}"} if link else invoice


def _invalid(message: str, *path: str) -> Reply:
    return terse_failure(400, {"code": 7001, "message": message, "path": list(path)})
