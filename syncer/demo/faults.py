"""What can go wrong with one request, as values that a script returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

JsonObject: TypeAlias = dict[str, Any]

CUT_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer instead of the normal one.

    Its headers are laid over those which every answer carries; None takes one of them away.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EdgeError:
    """The edge answers instead of the API (502, 520-530): HTML, or JSON where it was asked for.

    Documented: `Accept: application/json` yields RFC 9457 problem details, which is not the API's
    envelope: it has neither `success` nor `errors`.
    """

    status: int


@dataclass(frozen=True, slots=True)
class Throttled:
    """429 with `Retry-After`, whatever is left of the credential's budget."""

    retry_after_s: int = 1


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The normal answer with its JSON payload replaced by what `edit` makes of a copy."""

    edit: Callable[[JsonObject], object]


@dataclass(frozen=True, slots=True)
class RewriteBytes:
    """The normal answer with its body replaced by what `edit` makes of it."""

    edit: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Delay:
    """The normal answer, after this many real seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer until the event is set, if ever: until then the connection stays open, silent."""

    until: asyncio.Event | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is reset (TCP RST) before any header."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection ends within the body: `Content-Length` promises more than arrives."""

    share: float = CUT_SHARE


@dataclass(frozen=True, slots=True)
class ResetWithin:
    """The connection is reset (TCP RST) within the body, as by a middlebox or a dying process.

    Observed: depending on what arrives first, a client sees a part of the body or nothing at all.
    """

    share: float = CUT_SHARE


@dataclass(frozen=True, slots=True)
class WrongLength:
    """`Content-Length` is so many bytes longer, or shorter, than the body that is sent.

    Documented (RFC 9112, 6.3): a message that ends before its length is incomplete; what follows
    behind its length is the beginning of another message. The connection ends behind a body that is
    too short, and is kept behind one that is too long, whose rest waits for the next request.
    """

    by_bytes: int


@dataclass(frozen=True, slots=True)
class Flood:
    """The normal answer behind so many bytes of white space, all of it valid JSON."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class Trickle:
    """The body arrives in small pieces, with a pause of real seconds after each."""

    chunk_bytes: int = 1
    interval_s: float = 0.0


Fault: TypeAlias = (
    Answer
    | EdgeError
    | Throttled
    | Rewrite
    | RewriteBytes
    | Delay
    | Hang
    | Reset
    | ResetWithin
    | Cut
    | WrongLength
    | Flood
    | Trickle
)
