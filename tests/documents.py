"""The pages that people read, taken apart: links, headings, code blocks and tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Every page by its path within the repository, and those that explain the program to its users.
PAGES = sorted(
    path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))
)
GUIDES = ("README.md", *(page for page in PAGES if re.fullmatch(r"docs/\w+\.md", page)))

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} +(.+)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|^\[[^\]]+\]: +(\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it is (`page.md:line`), what it is written in, and its text."""

    place: str
    language: str
    text: str


def within(path: Path) -> str:
    """Name a page by its path within the repository."""
    return path.resolve().relative_to(ROOT).as_posix()


def read(page: str) -> str:
    return (ROOT / page).read_text()


def blocks(page: str) -> list[Block]:
    text = read(page)
    return [
        Block(f"{page}:{text.count(chr(10), 0, found.start()) + 1}", found[1], found[2])
        for found in _FENCE.finditer(text)
    ]


def prose(page: str) -> str:
    """The text without its fenced blocks."""
    return _FENCE.sub("", read(page))


def section(page: str, heading: str) -> str:
    """The text below a heading, up to the next one of its level."""
    text = read(page)
    level = heading.partition(" ")[0]
    below = text.split(f"\n{heading}\n", 1)[1]
    return re.split(rf"^{level} ", below, maxsplit=1, flags=re.MULTILINE)[0]


def links(page: str) -> list[str]:
    return [inline or reference for inline, reference in _LINK.findall(prose(page))]


def anchors(page: str) -> set[str]:
    """What can stand behind `#`: each heading as GitHub writes it."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in _HEADING.findall(prose(page))
    }


def rows(text: str) -> list[list[str]]:
    """The cells of every table in a text, without the lines under the headers."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    found = [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines]
    return [cells for cells in found if set("".join(cells)) - set("-: ")]
