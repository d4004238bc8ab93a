"""What response headers say: when to ask again, and which answer it is. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

# Nobody waits longer within one sync: its deadline comes first. It keeps absurd values finite.
LONGEST_WAIT_S: Final = 86_400.0
# The share of a quota below which the rest is spread over the time until its reset.
LITTLE_LEFT: Final = 0.1
# What the share is taken of where no policy is told.
USUAL_QUOTA: Final = 100

# Cloudflare's are like 8f1a2b3c4d5e6f70-AMS; whatever stands in front of it may write anything
# there, but nothing as long as a token.
_RAY_ID = re.compile(r"[0-9A-Za-z-]{1,32}")
_LIMIT = re.compile(r'"([^"]*)"((?:\s*;\s*[a-z]+\s*=\s*\d{1,12})+)')
_PARAMETER = re.compile(r"([a-z]+)\s*=\s*(\d+)")


@dataclass(frozen=True, slots=True)
class Limit:
    """One entry of `Ratelimit`: requests that remain until the reset, and the window's quota."""

    remaining: int
    reset_s: float
    quota: int | None


def ray_id(headers: Mapping[str, str], secrets: Sequence[str]) -> str | None:
    """The answer's `CF-Ray`, by which Cloudflare's support finds it; None where there is none.

    `secrets` are what the request was authenticated with: what echoes one of them is no such id.
    """
    text = headers.get("CF-Ray", "")
    echoes = any(secret in text for secret in secrets)
    return text if _RAY_ID.fullmatch(text) and not echoes else None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that `Retry-After` asks to wait; None where it is absent, past or unreadable.

    Cloudflare documents whole seconds; HTTP also allows a date, which is read against the
    answer's own `Date`, so that a wrong clock here does no harm.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_WAIT_S)
    until, now = _http_date(text), _http_date(headers.get("Date", ""))
    if until is None or now is None or until <= now:
        return None
    return min((until - now).total_seconds(), LONGEST_WAIT_S)


def _http_date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo is not None else None


def rate_limits(headers: Mapping[str, str]) -> tuple[Limit, ...]:
    """Every limit that the answer reports, in the documented list form.

    `Ratelimit: "default";r=50;t=30` (remaining, seconds to the reset) with its quota from
    `Ratelimit-Policy: "default";q=100;w=60`. Entries that cannot be read are passed over.
    """
    limits = headers.get("Ratelimit")
    if limits is None:
        return ()
    quotas = _quotas(headers.get("Ratelimit-Policy", ""))
    return tuple(
        Limit(parameters["r"], min(float(parameters["t"]), LONGEST_WAIT_S), quotas.get(name))
        for name, parameters in _entries(limits)
        if "r" in parameters and "t" in parameters
    )


@lru_cache(maxsize=16)
def _quotas(policy: str) -> Mapping[str, int]:
    """Read each window's quota. One API says the same with every answer."""
    return {name: parameters["q"] for name, parameters in _entries(policy) if "q" in parameters}


def _entries(text: str) -> list[tuple[str, dict[str, int]]]:
    return [
        (name, {key: int(value) for key, value in _PARAMETER.findall(parameters)})
        for name, parameters in _LIMIT.findall(text)
    ]


def pause_s(limit: Limit, *, in_flight: int) -> float:
    """Seconds until the next request, so that what remains lasts until the reset; 0 for plenty.

    `in_flight` requests may be under way already, and count against what remains.
    """
    left = max(limit.remaining - in_flight, 0)
    if left >= LITTLE_LEFT * (limit.quota or USUAL_QUOTA):
        return 0.0
    return limit.reset_s / (left + 1) if left else limit.reset_s
