"""Standard output and error that nobody can break."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

    from _typeshed import ReadableBuffer


class Output(io.FileIO):
    """Where standard output or error goes: what cannot be written is lost, and the reason kept.

    A command thus ends with its own exit code, and undisturbed, whoever may read what it prints.
    """

    def __init__(self, stream: TextIO | None) -> None:
        # None: it was closed when the process began.
        number = os.open(os.devnull, os.O_WRONLY) if stream is None else stream.fileno()
        super().__init__(number, "w", closefd=False)
        self.failure: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        """Write what can be written, and pretend the same of the rest."""
        try:
            return super().write(data)
        except OSError as error:
            self.failure = self.failure or error
            return memoryview(data).nbytes

    def as_text(self, stream: TextIO | None) -> TextIO:
        """Encode as the stream does, and escape what its encoding has no characters for."""
        return io.TextIOWrapper(
            io.BufferedWriter(self),
            encoding="utf-8" if stream is None else stream.encoding,
            errors="backslashreplace",
            line_buffering=True,
        )
