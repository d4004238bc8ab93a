"""Secrets that tests plant, and a search for them in whatever form they may come out again."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable

# A piece as long as this is half of a secret, or what a cut has left of it.
_PIECE = 12


@dataclass(frozen=True)
class Secret:
    """A text that must not come out, and what it is called when it does."""

    name: str
    text: str

    @cached_property
    def needles(self) -> frozenset[bytes]:
        """The text in pieces, percent-encoded, escaped as in JSON, in base64 and in hexadecimal."""
        raw = self.text.encode()
        written = {
            self.text,
            quote(self.text, safe=""),
            quote(self.text),
            quote_plus(self.text),
            json.dumps(self.text)[1:-1],
            repr(self.text)[1:-1],
            raw.hex(),
        }
        pieces = {
            form[start : start + _PIECE]
            for form in written
            for start in range(max(1, len(form) - _PIECE + 1))
        }
        # Wherever in a longer text it begins: its first and last characters depend on the rest.
        for shift in range(3):
            encoded = base64.b64encode(b" " * shift + raw).decode()
            pieces.add(encoded[4 if shift else 0 : -4])
        return frozenset(piece.encode() for piece in pieces)


def secret(name: str, prefix: str = "", suffix: str = "") -> Secret:
    """Make one that is like no other, and the same each time."""
    core = base64.b32encode(hashlib.sha256(name.encode()).digest()).decode()[:30]
    return Secret(name, f"{prefix}{core}{suffix}")


def leaked(text: str | bytes, secrets: Iterable[Secret]) -> list[str]:
    """Name the secrets of which a piece is in the text."""
    haystack = text.encode() if isinstance(text, str) else text
    return [one.name for one in secrets if any(needle in haystack for needle in one.needles)]
