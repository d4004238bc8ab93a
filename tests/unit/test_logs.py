from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import subprocess
import sys
import warnings
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.contextvars import bound_contextvars

from syncer import logs

if TYPE_CHECKING:
    from collections.abc import Iterator


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging is global: what a test configures ends with it."""
    root = logging.getLogger()
    names = ("syncer", "sqlalchemy")
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


def configured(
    *,
    format: Literal["json", "console", "auto"] = "json",  # noqa: A002 (as in configure)
    level: str = "info",
    terminal: bool = False,
) -> io.StringIO:
    stream = Terminal() if terminal else io.StringIO()
    logs.configure(format=format, level=level, stream=stream)
    return stream


def ours() -> Any:
    return structlog.get_logger("syncer.sync.run")


def only_line(stream: io.StringIO) -> dict[str, Any]:
    (line,) = stream.getvalue().splitlines()
    event: dict[str, Any] = json.loads(line)
    return event


def test_a_line_is_one_object_that_begins_with_when_how_bad_and_what() -> None:
    stream = configured()
    with bound_contextvars(run_id="r1"):
        ours().info("run.finished", accounts_total=2, sum=Decimal("1.50"), quiet=None, ok=True)
    event = only_line(stream)
    at = datetime.fromisoformat(event.pop("timestamp"))
    assert at.utcoffset() == timedelta(0)
    assert list(event) == ["level", "event", "accounts_total", "sum", "quiet", "ok", "run_id"]
    assert event == {
        "level": "info",
        "event": "run.finished",
        "run_id": "r1",
        "accounts_total": 2,
        "sum": "1.50",
        "quiet": None,
        "ok": True,
    }


def test_lines_of_libraries_come_in_the_same_format() -> None:
    stream = configured()
    with bound_contextvars(run_id="r1"):
        logging.getLogger("aiohttp.client").warning("%s is %d", "it", 5, extra={"x": 1})
    event = only_line(stream)
    event.pop("timestamp")
    assert event == {
        "level": "warning",
        "event": "it is 5",
        "logger": "aiohttp.client",
        "run_id": "r1",
    }


def test_warnings_become_lines() -> None:
    stream = configured()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    event = only_line(stream)
    assert event["logger"] == "py.warnings"
    assert "DeprecationWarning: old thing" in event["event"]


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (
            "debug",
            ["syncer debug", "syncer info", "lib debug", "lib info", "lib warning", "sql info"],
        ),
        ("info", ["syncer info", "lib warning"]),
        ("WARNING", ["lib warning"]),
        ("error", []),
    ],
)
def test_libraries_need_a_warning_unless_debugging(level: str, expected: list[str]) -> None:
    stream = configured(level=level)
    ours().debug("syncer debug")
    ours().info("syncer info")
    library = logging.getLogger("apscheduler.scheduler")
    library.debug("lib debug")
    library.info("lib info")
    library.warning("lib warning")
    logging.getLogger("sqlalchemy.engine.Engine").info("sql info")
    logging.getLogger("sqlalchemy.engine.Engine").debug("a row of the database")
    found = [json.loads(line)["event"] for line in stream.getvalue().splitlines()]
    assert found == expected


def test_configuring_again_replaces_the_former() -> None:
    former, stream = configured(), configured()
    ours().info("once")
    assert former.getvalue() == ""
    assert only_line(stream)["event"] == "once"


def fail(token: str) -> None:
    local = f"{token}2"
    raise RuntimeError(f"no answer for {len(local)}")


def refuse(url: str) -> None:
    raise ValueError(url)


@pytest.mark.parametrize("logger", [structlog.get_logger("syncer.x"), logging.getLogger("asyncio")])
def test_a_traceback_is_text_without_local_variables(logger: Any) -> None:
    stream = configured()
    try:
        fail("hunter")
    except RuntimeError:
        logger.exception("run.crashed")
    event = only_line(stream)
    assert event["level"] == "error"
    assert event["exception"].startswith("Traceback (most recent call last):\n")
    assert event["exception"].endswith("RuntimeError: no answer for 7")
    assert "hunter2" not in stream.getvalue()  # the value of a local variable


async def test_what_asyncio_reports_is_a_line() -> None:
    stream = configured()
    loop = asyncio.get_running_loop()
    loop.call_exception_handler({"message": "Task was lost", "exception": ValueError("why")})
    event = only_line(stream)
    assert event["event"] == "Task was lost"
    assert event["exception"] == "ValueError: why"


class Colour(Enum):
    RED = 1


class Word(StrEnum):
    LOCKED = "locked"


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Plain:
    def __repr__(self) -> str:
        return "<plain>"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (datetime(2024, 1, 2, 3, tzinfo=UTC), "2024-01-02T03:00:00+00:00"),
        (date(2024, 1, 2), "2024-01-02"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("0.10"), "0.10"),
        (Colour.RED, 1),
        (Word.LOCKED, "locked"),
        (Path("a/b"), "a/b"),
        (1.5, 1.5),
        (float("nan"), "nan"),
        (2**5000, hex(2**5000)),
        (b"\xff", "b'\\xff'"),
        (Plain(), "<plain>"),
        ({"a": (1, Word.LOCKED), 2: {3}}, {"a": [1, "locked"], "2": [3]}),
        ("line\nbreak \x1b[31m\u2028 \ud800 é", "line\nbreak \x1b[31m\u2028 \ud800 é"),
    ],
)
def test_values_that_json_lacks_become_text(value: object, written: object) -> None:
    stream = configured()
    ours().info("x", value=value)
    assert only_line(stream)["value"] == written


def test_a_value_that_cannot_even_be_shown() -> None:
    stream = configured()
    ours().info("x", value=Broken())
    assert "Broken instance at" in only_line(stream)["value"]


def test_a_value_that_holds_itself() -> None:
    stream = configured()
    endless: list[object] = []
    endless.append(endless)
    ours().info("x", value=endless)
    assert "[[...]]" in json.dumps(only_line(stream)["value"])


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    ),
    console=st.booleans(),
)
def test_any_value_is_one_line(value: object, *, console: bool) -> None:
    stream = configured(format="console" if console else "json")
    ours().info("x", value=value)
    assert len(stream.getvalue().splitlines()) == 1


def test_arguments_of_a_library_that_do_not_fit() -> None:
    stream = configured()
    text = "%d things of %s"
    logging.getLogger("lib").warning(text, "many")
    assert only_line(stream)["event"] == "%d things of %s (arguments unusable)"


@pytest.mark.parametrize(
    ("fields", "written"),
    [
        ({"Authorization": "Bearer abc"}, {"Authorization": "***"}),
        ({"x-auth-key": b"abc"}, {"x-auth-key": "***"}),
        ({"api_token": "abc", "tokens_left": 5}, {"api_token": "***", "tokens_left": 5}),
        ({"password": None, "db_password": "x"}, {"password": None, "db_password": "***"}),
        ({"invoice_pdf": "https://pay/x"}, {"invoice_pdf": "***"}),
        (
            {"headers": {"X-Auth-Key": "abc", "Accept": "json"}},
            {"headers": {"X-Auth-Key": "***", "Accept": "json"}},
        ),
        ({"text": "sent Bearer abc.def-1, ok"}, {"text": "sent Bearer ***, ok"}),
        (
            {"text": "postgresql://u:p@ss@h:5432/d and http://h:80/@x"},
            {"text": "postgresql://u:***@h:5432/d and http://h:80/@x"},
        ),
        ({"text": "{'X-Auth-Key': 'abc'}"}, {"text": "{'X-Auth-Key': '***'}"}),
        ({"text": "Authorization: Bearer abc"}, {"text": "Authorization: Bearer ***"}),
        ({"values": ["Bearer abc", Plain()]}, {"values": ["Bearer ***", "<plain>"]}),
    ],
)
def test_what_looks_like_a_secret_is_hidden(
    fields: dict[str, object], written: dict[str, object]
) -> None:
    stream = configured()
    ours().info("x", **fields)
    event = only_line(stream)
    assert {key: event[key] for key in written} == written


def test_secrets_in_texts_and_tracebacks_are_hidden() -> None:
    stream = configured()
    try:
        refuse("postgresql://u:hunter2@h/d")
    except ValueError:
        logging.getLogger("lib").exception("Bearer %s", "hunter2")
    assert "hunter2" not in stream.getvalue()


def test_the_console_is_for_people() -> None:
    stream = configured(format="console", terminal=False)
    ours().info("run.finished", accounts=2, text="a b")
    line = stream.getvalue()
    assert "[info     ] run.finished" in line
    assert line.rstrip().endswith("accounts=2 text='a b'")
    assert "\x1b" not in line


def test_the_console_escapes_what_would_break_the_line_or_steer_the_terminal() -> None:
    stream = configured(format="console")
    ours().info("a\nb", text="x\r\n\x1b[31mred\u2028", names=["\n"])
    (line,) = stream.getvalue().splitlines()
    assert "a\\nb" in line
    assert "x\\r\\n\\x1b[31mred\\u2028" in line
    assert "\x1b" not in line


def test_a_traceback_on_the_console_has_its_lines() -> None:
    stream = configured(format="console")
    try:
        fail("hunter")
    except RuntimeError:
        ours().exception("run.crashed")
    lines = stream.getvalue().splitlines()
    assert "run.crashed" in lines[0]
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "RuntimeError: no answer for 7"


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_a_terminal_gets_the_console_in_colours_unless_they_are_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], *, coloured: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    stream = configured(format="auto", terminal=True)
    ours().info("run.finished")
    assert ("\x1b[" in stream.getvalue()) is coloured


def test_elsewhere_auto_is_json() -> None:
    stream = configured(format="auto")
    ours().info("run.finished")
    assert only_line(stream)["event"] == "run.finished"


def test_standard_error_is_looked_up_at_each_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(format="json", level="info")
    ours().info("one")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["event"] == "one"


def test_a_stream_that_is_gone_loses_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = configured()
    stream.close()
    ours().info("lost")
    logs.configure(format="auto", level="info", stream=stream)
    monkeypatch.setattr(sys, "stderr", None)
    logs.configure(format="auto", level="info")
    ours().info("lost")


def test_a_reader_that_went_away_does_not_end_the_program() -> None:
    program = (
        "import structlog, sys; from syncer import logs\n"
        "logs.configure(format='json', level='info')\n"
        "sys.stdin.readline()\n"
        "for _ in range(3): structlog.get_logger('syncer').info('x')\n"
        "print('done')"
    )
    reader, writer = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=writer,
        text=True,
    ) as process:
        os.close(writer)
        os.close(reader)
        output, _ = process.communicate("go\n")
    assert output == "done\n"
    assert process.returncode == 0
