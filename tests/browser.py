"""A real browser without a window, and what it makes of a page."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PATIENCE_S = 60.0
CHROMIUM = shutil.which("chromium")
# Nothing that it would do by itself, and no sandbox, which containers seldom allow.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
)

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium (Debian's package) to open a page in"
)

Table = list[list[str]]


async def run_chromium(*arguments: str) -> str:
    """Run it with a profile of its own until it has done what was asked; its output."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(prefix="syncer-chromium-") as profile:
        process = await asyncio.create_subprocess_exec(
            CHROMIUM,
            *_FLAGS,
            f"--user-data-dir={profile}",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()
    assert process.returncode == 0
    return output.decode()


async def dump_dom(page: Path, *arguments: str) -> str:
    """Open a file, and write what the browser made of it."""
    return await run_chromium(*arguments, "--dump-dom", page.as_uri())


async def screenshot(page: Path, picture: Path, *, width: int, height: int, dark: bool) -> None:
    """Take a picture of the upper left of a page."""
    await run_chromium(
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        f"--window-size={width},{height}",
        f"--screenshot={picture}",
        page.as_uri(),
    )


async def print_page(page: Path, paper: Path) -> None:
    """Print a page as PDF."""
    await run_chromium("--no-pdf-header-footer", f"--print-to-pdf={paper}", page.as_uri())


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[str, list[str]]]:
    """Be a browser's proxy that answers nothing; its address, and each request's first line."""
    asked: list[str] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readline()).decode())
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}", asked


class Reader(HTMLParser):
    """Collects the tables of a page by their captions, and whatever refers to elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: dict[str, Table] = {}
        self.references: list[tuple[str, str]] = []
        self.elements: set[str] = set()
        self._rows: Table = []
        self._caption = ""
        self._within = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.references += [
            (tag, value or "")
            for name, value in attrs
            if name in {"src", "href", "srcset", "action", "data", "xlink:href", "style"}
        ]
        if tag == "table":
            self._rows, self._caption = [], ""
        elif tag == "tr":
            self._rows.append([])
        elif tag in {"td", "th"}:
            self._rows[-1].append("")
        if tag in {"td", "th", "caption"}:
            self._within = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self._within:
            self._within = ""
        if tag == "table":
            self.tables[self._caption] = self._rows

    def handle_data(self, data: str) -> None:
        if self._within == "caption":
            self._caption += data
        elif self._within:
            self._rows[-1][-1] += data


def read_page(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    return reader
