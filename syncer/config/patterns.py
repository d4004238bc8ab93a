"""Patterns for names of accounts, as `[[discover]]` takes them."""

from __future__ import annotations

import json


def read_patterns(value: object) -> tuple[str, ...]:
    """Check patterns for names: a list of texts, or from the environment one with commas."""
    given = _listed(value) if isinstance(value, str) else value
    if not isinstance(given, list | tuple):
        text = 'not a list of patterns; write one such as ["prod-*", "customer-??"]'
        raise ValueError(text)  # noqa: TRY004 the one that pydantic takes for a finding
    patterns = tuple(one.strip() if isinstance(one, str) else "" for one in given)
    if not all(one and one.isprintable() for one in patterns):
        raise ValueError("a pattern is one line of text, in quotes, that is not empty")
    return patterns


def read_some_patterns(value: object) -> tuple[str, ...]:
    """Check patterns as `read_patterns` does, of which there has to be one."""
    patterns = read_patterns(value)
    if not patterns:
        raise ValueError('no name fits an empty list; drop the key, or write ["*"], to find all')
    return patterns


def _listed(text: str) -> list[object]:
    """Take a JSON list of texts for one, and any other text for patterns with commas."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = None
    # `[1]` is a pattern, which the name 1 fits.
    if isinstance(given, list) and all(isinstance(one, str) for one in given):
        return given
    return list(text.split(","))
