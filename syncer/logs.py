"""Log lines: ours and those of the libraries underneath in one format, on standard error.

Logging never fails the program: a value that cannot be written is shown by its repr, and a stream
that is gone loses the line.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import reprlib
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import structlog

if TYPE_CHECKING:
    from typing import TextIO

    from structlog.typing import EventDict, Processor, WrappedLogger

_HIDDEN = "***"
_SECRET_KEY = re.compile(
    r"authorization|x[-_]auth[-_]key|cookie|token|passw(or)?d|secret|api[-_]key|credential"
    r"|dsn|invoice[-_]pdf",  # a link that works for whoever holds it
    re.IGNORECASE,
)
_SECRET_TEXTS = (
    (re.compile(r"\b(Bearer)\s+[^\s'\",]+", re.IGNORECASE), rf"\1 {_HIDDEN}"),
    (re.compile(r"(://[^/\s:@]*):[^/\s]+@"), rf"\1:{_HIDDEN}@"),
    (
        re.compile(r"(X-Auth-Key|Authorization)(\W{1,6})(?!Bearer)[^\s'\",]+", re.IGNORECASE),
        rf"\1\2{_HIDDEN}",
    ),
)
_DEEPEST = 8  # levels of nesting that are written out
_LONGEST_INTEGER = 4096  # bits; Python refuses to write very long ones in decimal
_LIBRARIES_THAT_LOG_ROWS = ("sqlalchemy",)  # at DEBUG


def configure(
    *,
    format: Literal["json", "console", "auto"],  # noqa: A002 (the key's name)
    level: str,
    stream: TextIO | None = None,
) -> None:
    """Send every log line to `stream`, standard error if None.

    `format` is one JSON object a line, `console` for people, or `auto`: console on a terminal, JSON
    otherwise. `level` is the least that our own lines need; the libraries' need a warning's too,
    unless `level` is `debug`. Calling it again replaces what was configured before.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    on_terminal = _is_terminal(sys.stderr if stream is None else stream)
    console = format == "console" or (format == "auto" and on_terminal)
    handler = logging.StreamHandler(_Stream(stream))
    handler.addFilter(_with_usable_arguments)
    handler.setFormatter(_formatter(console=console, colours=on_terminal and _wants_colours()))
    debugging = threshold <= logging.DEBUG
    libraries = threshold if debugging else max(threshold, logging.WARNING)
    logging.basicConfig(handlers=[handler], level=libraries, force=True)
    logging.getLogger("syncer").setLevel(threshold)
    for name in _LIBRARIES_THAT_LOG_ROWS:
        logging.getLogger(name).setLevel(logging.INFO if debugging else logging.NOTSET)
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_every_line(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _every_line() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _formatter(*, console: bool, colours: bool) -> logging.Formatter:
    render: list[Processor] = [_as_json]
    if console:
        pretty = structlog.dev.ConsoleRenderer(
            colors=colours, exception_formatter=structlog.dev.plain_traceback
        )
        render = [_on_one_line, pretty]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_every_line(), structlog.stdlib.add_logger_name],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,  # plain text, so that no local variable is shown
            _as_plain_values,
            *render,
        ],
    )


def _as_plain_values(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Put the fields in order, hide what may be a secret, and make the rest plain JSON values."""
    first = {key: event.pop(key, None) for key in ("timestamp", "level", "event")}
    return {str(key): _plain(value, str(key)) for key, value in {**first, **event}.items()}


def _as_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return json.dumps(event)


def _on_one_line(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape what would break the line or steer the terminal; a traceback keeps its lines."""
    for key, value in event.items():
        if isinstance(value, str):
            kept = "\n" if key in {"exception", "stack"} else ""
            event[key] = "".join(
                one if one.isprintable() or one in kept else repr(one)[1:-1] for one in value
            )
    return event


def _plain(value: object, key: str, depth: int = 0) -> Any:
    plain = _plain_number(value)
    if plain is not None or value is None:
        return plain
    if _SECRET_KEY.search(key):
        return _HIDDEN
    if depth < _DEEPEST:
        if isinstance(value, Enum):
            return _plain(value.value, key, depth + 1)
        if isinstance(value, Mapping):
            return {
                _hide_secrets(str(inner)): _plain(item, str(inner), depth + 1)
                for inner, item in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [_plain(item, key, depth + 1) for item in value]
    return _hide_secrets(_text(value))


def _plain_number(value: object) -> bool | int | float | None:
    if isinstance(value, Enum):
        return None
    if isinstance(value, bool) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, int) and value.bit_length() < _LONGEST_INTEGER:
        return value
    return None


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal | UUID | PurePath | float):
        return str(value)
    if isinstance(value, int):
        return hex(value)
    # Also where the repr itself raises, and never endless.
    return _REPR.repr_instance(value, 1)


def _hide_secrets(text: str) -> str:
    for pattern, replacement in _SECRET_TEXTS:
        text = pattern.sub(replacement, text)
    return text


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


def _wants_colours() -> bool:
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class _Stream:
    """Where lines go; one that is closed, gone or was never there loses them.

    None is standard error as it is at each line: a progress bar puts something in its place.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        stream = sys.stderr if self._stream is None else self._stream
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.write(text)
                stream.flush()


def _with_usable_arguments(record: logging.LogRecord) -> bool:
    """Let a record pass whose text and arguments don't fit, without its arguments."""
    if not record.args:
        return True
    try:
        record.getMessage()
    except (TypeError, ValueError, LookupError, AttributeError):
        record.msg, record.args = f"{record.msg} (arguments unusable)", ()
    return True


_REPR = reprlib.Repr()
_REPR.maxother = 1000
