"""How the benchmark tells where the CPU of a sync goes."""

from __future__ import annotations

import pytest

from benchmarks.time_spent import by_part, lines, part_of

LIBRARY = ("/venv/lib/python3.11/site-packages/aiohttp/client.py", 1, "get")
OURS = ("/checkout/syncer/cloudflare/wire.py", 2, "decode")


@pytest.mark.parametrize(
    ("file", "part"),
    [
        (LIBRARY[0], "aiohttp"),
        (OURS[0], "syncer/cloudflare/wire.py"),
        ("/venv/lib/python3.11/site-packages/syncer/app.py", "syncer"),
        ("/usr/lib/python3.11/asyncio/events.py", "asyncio"),
        ("/usr/lib/python3.11/json.py", "json"),
        ("<frozen importlib._bootstrap>", "imports"),
        ("<string>", "other"),
    ],
)
def test_a_file_belongs_to_a_library_or_is_a_module_of_syncer(file: str, part: str) -> None:
    assert part_of(file) == part


def test_what_is_built_in_counts_for_who_called_it_and_waiting_for_nobody() -> None:
    calls = {LIBRARY: (1, 1, 0.25, 0.25), OURS: (3, 3, 0.5, 0.5)}
    spent = by_part(
        {
            LIBRARY: (1, 1, 1.0, 9.0, {}),
            OURS: (1, 1, 2.0, 9.0, {LIBRARY: (1, 1, 2.0, 9.0)}),
            ("~", 0, "<built-in method decode>"): (4, 4, 0.75, 0.75, calls),
            ("~", 0, "<method 'poll' of 'select.epoll' objects>"): (1, 1, 5.0, 5.0, calls),
        }
    )
    assert spent == {"aiohttp": 1.25, "syncer/cloudflare/wire.py": 2.5, "waiting": 5.0}


def test_shares_are_those_of_the_work_and_the_smallest_are_left_out() -> None:
    spent = by_part(
        {
            OURS: (1, 1, 7.0, 7.0, {}),
            LIBRARY: (1, 1, 2.95, 2.95, {}),
            ("<string>", 1, "<module>"): (1, 1, 0.05, 0.05, {}),
            ("~", 0, "epoll"): (1, 1, 30.0, 30.0, {}),
        }
    )
    heading, *rows = [line for line in lines("first load", spent) if line.strip()]
    assert heading.strip() == "**First load**: 10.00 s of work, 30.00 s of waiting"
    assert rows[2:] == ["| syncer/cloudflare/wire.py | 7.00 | 70% |", "| aiohttp | 2.95 | 30% |"]
