"""What every fault leads to, as data: one line for each, to be checked by reading it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from syncer.demo.faults import (
    Answer,
    Cut,
    EdgeError,
    Flood,
    Hang,
    Reset,
    ResetWithin,
    RewriteBytes,
    Trickle,
    WrongLength,
)
from tests.integration.spoiled import (
    compressed,
    edited,
    failure,
    html,
    nested,
    paginated,
    throttled,
    without,
    without_any_pagination,
)

if TYPE_CHECKING:
    from syncer.demo.faults import Fault

ATTEMPTS: Final = 3
INVOICES: Final = 35
PER_PAGE: Final = 10
# The clock stands still but for these: half of a backoff of half a second, and of a whole one.
BACKOFF: Final = (0.25, 0.5)
# A throttled credential rests for half a second where nobody says how long.
SHUT: Final = (0.5, 0.5)
# Long enough for an answer on a busy machine; all of it passes for each answer that does not come.
PATIENCE_S: Final = 2.0


class Refused:
    """The connection is refused: nobody listens at the port."""


@dataclass(frozen=True)
class Position:
    """Where a fault is met: the request's number in a sync that nothing else disturbs.

    A sync that ends there has this status, and holds what the requests before it have brought. One
    that gets over it takes `of_requests` in all, and finds `of_invoices`.
    """

    name: str
    nth: int
    status: str
    stored: int
    total: int | None
    of_requests: int = 4
    of_invoices: int = INVOICES


POSITIONS: Final = (
    Position("first page", nth=1, status="failed", stored=0, total=None),
    Position("middle page", nth=2, status="incomplete", stored=10, total=35),
    Position("last page", nth=4, status="incomplete", stored=30, total=35),
    # An invoice that appears while page 3 is asked for makes another walk necessary: pages 1 to 4
    # are requests 5 to 8.
    Position("re-walk", 6, "incomplete", stored=36, total=36, of_requests=8, of_invoices=36),
)
PAGES_ASKED: Final = (1, 2, 3, 4, 1, 2, 3, 4)
WHOLE_WALK: Final = (1, 2, 3, 4)


@dataclass(frozen=True)
class Line:
    """One fault; `once` and `for_ever` are "complete", or the reason for which a sync ends.

    `asked` is how often the page is asked for while the fault lasts, `error` a pattern of the text
    for people. `waits` are the seconds before each request for the page but the first, `delays` how
    many of them were announced in the log, unless it is all. Where it is `walked_again`, a page
    behind the first may be gone since the list became shorter, so that another walk begins. It is
    met `at` the positions of these names; what takes its time at one alone.
    """

    name: str
    once: str
    for_ever: str
    http_status: int | None
    asked: int
    error: str | None
    fault: Fault | Refused
    waits: tuple[float, ...] = BACKOFF
    delays: tuple[float, ...] | None = None
    request_timeout_s: float = 30.0
    walked_again: bool = False
    at: tuple[str, ...] = tuple(position.name for position in POSITIONS)

    def __str__(self) -> str:
        return self.name


A_DATE: Final = {
    "Retry_After": "Sun, 22 Nov 2026 10:00:30 GMT",
    "Date": "Sun, 22 Nov 2026 10:00:00 GMT",
}
REFUSAL: Final = failure({"code": 1234, "message": "no"})

FINE, RATE, AWAY, BAD = "complete", "rate_limited", "unavailable", "malformed_response"
NO, DENIED, GONE = "request_rejected", "access_denied", "not_found"

THROTTLES: Final = "the API throttles this credential (HTTP 429, code 971)"
DOWN: Final = "the API is unavailable (HTTP *)"
REFUSED: Final = "cannot connect to 127.0.0.1:*: the connection is refused; see *"
LOST: Final = "the connection failed (*)"
SILENT: Final = "no complete answer within 2 s"
REJECTS: Final = "the API rejects the request (HTTP *, code 1234): no"
DENIES: Final = "access denied: the credential is wrong, or lacks the permission AI Gateway Read *"
UNKNOWN: Final = "the API knows no such account: check its id (HTTP 404)"
ODD: Final = "the answer is not one that the API documents (HTTP *)"
NOT_JSON: Final = "the answer cannot be read: it is not JSON, or holds no list of invoices"
BROKEN: Final = "the answer cannot be read: *"
NO_OBJECT: Final = "the answer cannot be read: Expected `object`, got `null`"
NO_LIST: Final = "the answer cannot be read: Object missing required field `invoices`"
NO_ARRAY: Final = "the answer cannot be read: Expected `array`, got `object`"
NO_END: Final = "the answer cannot be read: nothing says whether there are more pages (has_more)"
NO_BOOL: Final = "the answer cannot be read: Expected `bool | null`, got `str` *"
NO_INT: Final = "the answer cannot be read: Expected `int*"
TOO_DEEP: Final = "the answer cannot be read: maximum recursion depth exceeded *"
TOO_LARGE: Final = "the answer is larger than 16 MiB"
GARBLED: Final = "the answer cannot be decompressed"

# fmt: off
LINES: Final = (
    # fault                          once  for ever HTTP asked error    how
    # The credential is throttled.
    Line("429, Retry-After 3",       FINE, RATE,    429, 3, THROTTLES, throttled(Retry_After="3"), (3.0, 3.0)),
    Line("429, Retry-After 300",     FINE, RATE,    429, 3, THROTTLES, throttled(Retry_After="300"), (300.0, 300.0)),
    Line("429, Retry-After a date",  FINE, RATE,    429, 3, THROTTLES, throttled(**A_DATE), (30.0, 30.0)),
    Line("429, Retry-After absent",  FINE, RATE,    429, 3, THROTTLES, throttled(), SHUT, BACKOFF),
    Line("429, Retry-After garbage", FINE, RATE,    429, 3, THROTTLES, throttled(Retry_After="soon"), SHUT, BACKOFF),
    Line("429, Retry-After below 0", FINE, RATE,    429, 3, THROTTLES, throttled(Retry_After="-5"), SHUT, BACKOFF),
    # The API, the edge in front of it, or the way there is in trouble.
    Line("408",                      FINE, AWAY,    408, 3, DOWN,      Answer(408)),
    Line("500",                      FINE, AWAY,    500, 3, DOWN,      Answer(500, failure())),
    Line("502 with HTML",            FINE, AWAY,    502, 3, DOWN,      html(502)),
    Line("503, Retry-After 20",      FINE, AWAY,    503, 3, DOWN,      html(503, **{"Retry-After": "20"}), (20.0, 20.0)),
    Line("520",                      FINE, AWAY,    520, 3, DOWN,      EdgeError(520)),
    Line("connection refused",       FINE, AWAY,   None, 3, REFUSED,   Refused()),
    Line("reset before the headers", FINE, AWAY,   None, 3, LOST,      Reset()),
    Line("reset in the body",        FINE, AWAY,   None, 3, LOST,      ResetWithin()),
    Line("end in the body",          FINE, AWAY,   None, 3, LOST,      Cut()),
    Line("Content-Length too long",  FINE, AWAY,   None, 3, LOST,      WrongLength(10)),
    Line("Content-Length too short", FINE, AWAY,   None, 3, LOST,      WrongLength(-400)),
    Line("hang",                     FINE, AWAY,   None, 3, SILENT,    Hang(), request_timeout_s=PATIENCE_S, at=("middle page",)),
    Line("a byte now and then",      FINE, AWAY,   None, 3, SILENT,    Trickle(1, 0.002), request_timeout_s=PATIENCE_S, at=("re-walk",)),
    # The API refuses, and asking again would be no use.
    Line("400",                      NO,     NO,     400, 1, REJECTS, Answer(400, REFUSAL), walked_again=True),
    Line("401",                      DENIED, DENIED, 401, 1, DENIES,  Answer(401)),
    Line("403 with HTML",            DENIED, DENIED, 403, 1, DENIES,  html(403)),
    Line("404",                      GONE,   GONE,   404, 1, UNKNOWN, Answer(404), walked_again=True),
    Line("no success, a code",       NO,     NO,     200, 1, REJECTS, Answer(200, REFUSAL), walked_again=True),
    # What came is not what is documented.
    Line("no success, no code",      FINE, BAD,     200, 3, ODD,       Answer(200, failure())),
    Line("200 with HTML",            FINE, BAD,     200, 3, NOT_JSON,  html(200)),
    Line("200 without a body",       FINE, BAD,     200, 3, NOT_JSON,  Answer(200)),
    Line("302 to another host",      FINE, BAD,     302, 3, ODD,       Answer(302)),
    Line("308 to another host",      FINE, BAD,     308, 3, ODD,       Answer(308)),
    Line("truncated JSON",           FINE, BAD,     200, 3, BROKEN,    RewriteBytes(lambda body: body[: len(body) // 2])),
    Line("result null",              FINE, BAD,     200, 3, NO_OBJECT, edited(lambda it: it.update(result=None))),
    Line("invoices missing",         FINE, BAD,     200, 3, NO_LIST,   without("result", "invoices")),
    Line("invoices an object",       FINE, BAD,     200, 3, NO_ARRAY,  edited(lambda it: it["result"].update(invoices={}))),
    Line("pagination missing",       FINE, FINE,    200, 1, None,      without("result", "pagination")),
    Line("result_info missing",      FINE, FINE,    200, 1, None,      without("result_info")),
    Line("both of them missing",     FINE, BAD,     200, 3, NO_END,    edited(without_any_pagination)),
    Line("has_more a text",          FINE, BAD,     200, 3, NO_BOOL,   paginated(has_more="no")),
    Line("total_count negative",     FINE, BAD,     200, 3, NO_INT,    paginated(total_count=-1)),
    Line("page a text",              FINE, BAD,     200, 3, NO_INT,    paginated(page="1")),
    # What is meant to exhaust whoever reads it.
    Line("200 MB",                   FINE, BAD,     200, 3, TOO_LARGE, Flood(200 * 10**6)),
    Line("gzip bomb",                FINE, BAD,     200, 3, TOO_LARGE, compressed("gzip", 31)),
    Line("deflate bomb",             FINE, BAD,     200, 3, TOO_LARGE, compressed("deflate", 15)),
    Line("gzip that is none",        FINE, BAD,     200, 3, GARBLED,   html(200, **{"Content-Encoding": "gzip"})),
    Line("nested envelope",          FINE, BAD,     200, 3, TOO_DEEP,  nested(b'"messages":')),
)
# fmt: on
