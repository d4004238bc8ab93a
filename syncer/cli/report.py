"""`syncer report`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from syncer import __version__
from syncer.app import open_database, require_existing
from syncer.cli.screen import say
from syncer.cli.status import asked_accounts
from syncer.errors import SyncerError
from syncer.report.page import render
from syncer.store.migrate import require_head
from syncer.store.report import read_report

if TYPE_CHECKING:
    from syncer.config import Settings

STDOUT = "-"


async def write_report(settings: Settings, output: str) -> None:
    """Write the report to a file, `-` for standard output; SyncerError where that fails."""
    require_existing(settings)
    names, failures = await asked_accounts(settings)
    for failure in failures:
        sys.stderr.write(f"syncer: {failure}\n")
    async with open_database(settings) as database:
        await require_head(database)
        report = await read_report(database, names, all_known=not failures)
    page = render(report, version=__version__)
    if output == STDOUT:
        # Whatever the terminal's encoding is, the page says that it is in this one.
        sys.stdout.buffer.write(page.encode())
        return
    write_whole(Path(output), page)
    say(
        f"wrote {output}: {report.accounts.total} account(s), {report.stale_accounts} of them stale"
    )


def write_whole(path: Path, page: str) -> None:
    """Put the page in the file's place when it is whole; until then an older one stays.

    What is no plain file, such as /dev/stdout or a pipe, is written to as it is.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_text(page, encoding="utf-8")
            return
        target = path.resolve()
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            with part.open("w", encoding="utf-8") as file:
                file.write(page)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise SyncerError(
            f"cannot write the report to {path}: {error.strerror}; --output names another file"
        ) from error
