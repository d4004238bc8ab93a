"""Where the tests' servers keep what nobody needs afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEMORY = Path("/dev/shm")  # noqa: S108 - only ever for a private directory below it
_ENOUGH_BYTES = 4 * 2**30


def quickest() -> str | None:
    """Memory where there is plenty, otherwise None, for the usual place.

    A new database is three hundred files, which take a disk up to ten times as long.
    """
    if not os.access(_MEMORY, os.W_OK) or shutil.disk_usage(_MEMORY).free < _ENOUGH_BYTES:
        return None
    return str(_MEMORY)


@contextmanager
def server_place(prefix: str) -> Iterator[Path]:
    """A directory of its own for a server, removed afterwards.

    Not below pytest's own directory: every start of pytest bars other accounts from that, such as
    the one that a server runs as where the tests run as root.
    """
    with tempfile.TemporaryDirectory(prefix=prefix, dir=quickest()) as path:
        yield Path(path)
