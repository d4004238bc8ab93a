from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.config import RetentionSettings, values
from syncer.config.keys import dotted
from syncer.config.patterns import read_patterns, read_some_patterns

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("0s", timedelta(0)),
        ("30s", timedelta(seconds=30)),
        ("15m", timedelta(minutes=15)),
        ("1.5h", timedelta(minutes=90)),
        ("1h30m", timedelta(minutes=90)),
        ("1d2h3m4s5ms", timedelta(days=1, hours=2, minutes=3, seconds=4, milliseconds=5)),
        (" 2h ", timedelta(hours=2)),
        (timedelta(seconds=1), timedelta(seconds=1)),
    ],
)
def test_durations(text: object, duration: timedelta) -> None:
    assert values.parse_duration(text) == duration


@pytest.mark.parametrize(
    "text",
    ["", "15", "15 minutes", "15M", "m", "-1s", "1m1m", "1s1m", "1,5h", "٣s", "1w", 15, None, True],
)
def test_what_is_no_duration_is_told_what_one_is(text: object) -> None:
    with pytest.raises(ValueError, match=r'^not a duration; write .* such as "30s"'):
        values.parse_duration(text)


def test_a_duration_that_no_clock_can_count() -> None:
    with pytest.raises(ValueError, match="longer than any clock"):
        values.parse_duration("999999999d" + "999999999h")


@given(st.integers(min_value=0, max_value=10**11))
def test_a_written_duration_reads_back(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)
    assert values.parse_duration(values.format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("given_", "patterns"),
    [
        ([], ()),
        (["prod-*", " eu "], ("prod-*", "eu")),
        ("prod-*, eu", ("prod-*", "eu")),
        ('["prod-*", "a,b"]', ("prod-*", "a,b")),
        ("[]", ()),
        ("[ab]*", ("[ab]*",)),
        ("[1]", ("[1]",)),
    ],
)
def test_patterns(given_: object, patterns: tuple[str, ...]) -> None:
    assert read_patterns(given_) == patterns
    if patterns:
        assert read_some_patterns(given_) == patterns


@pytest.mark.parametrize("given_", [[""], ["a\nb"], [7], "", ",", "a,,b", '[""]', 7, None, {}])
def test_what_is_no_pattern(given_: object) -> None:
    with pytest.raises(ValueError, match="pattern"):
        read_patterns(given_)


@pytest.mark.parametrize("given_", [[], (), "[]"])
def test_a_list_that_nobody_fits_is_a_mistake(given_: object) -> None:
    with pytest.raises(ValueError, match="no name fits an empty list; drop the key"):
        read_some_patterns(given_)


@pytest.mark.parametrize(
    ("text", "size"), [(1, 1), (1000, 1000), ("200", 200), ("auto", "auto"), (" auto ", "auto")]
)
def test_page_sizes(text: object, size: object) -> None:
    assert values.read_page_size(text) == size


@pytest.mark.parametrize("text", [0, 1001, True, None, "", "Auto", "all", 1.5])
def test_what_is_no_page_size(text: object) -> None:
    with pytest.raises(ValueError, match=r'^not a whole number from 1 to 1000, or "auto"$'):
        values.read_page_size(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", None),
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),  # noqa: S104 (only parsed)
        ("localhost:65535", ("localhost", 65535)),
        ("[::1]:8080", ("::1", 8080)),
        ("[::]:8080", ("::", 8080)),
        ("my-host.example.com:80", ("my-host.example.com", 80)),
    ],
)
def test_addresses_to_listen_on(text: str, address: tuple[str, int] | None) -> None:
    assert values.read_listen(text) == address


@pytest.mark.parametrize(
    "text",
    [
        *("8080", ":8080", "localhost", "localhost:", "localhost:0", "localhost:65536", "::1:8080"),
        *(
            "[::1]",
            "[127.0.0.1]:80",
            "a b:80",
            "http://localhost:80",
            "-x:80",
            "x:\uff18\uff10",
            8080,
            None,
        ),
    ],
)
def test_what_is_no_address_to_listen_on(text: object) -> None:
    with pytest.raises(ValueError, match=r"not an address; write a host and a port.* turn it off"):
        values.read_listen(text)


@pytest.mark.parametrize(
    ("text", "kept"),
    [("90d", timedelta(days=90)), ("1d12h", timedelta(hours=36)), (" forever ", None)],
)
def test_how_long_rows_are_kept(text: str, kept: timedelta | None) -> None:
    for key in RetentionSettings.model_fields:
        settings = RetentionSettings.model_validate({key: text})
        assert getattr(settings, key) == kept


@pytest.mark.parametrize("text", ["23h", "", "never", "90", 90, "40000d"])
def test_how_long_rows_are_not_kept(text: object) -> None:
    with pytest.raises(ValueError, match=r'write a .*, or "forever"'):
        RetentionSettings.model_validate({"sync_runs": text})


@pytest.mark.parametrize("text", ["*/15 * * * *", "0 0 * * 7", "0 6 L * MON-FRI", " 0  0 29 2 * "])
def test_cron_expressions(text: str) -> None:
    assert values.read_cron(text) == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("* * * * * *", "not a cron expression"),
        ("@hourly", "not a cron expression"),
        (5, "not a cron expression"),
        ("61 * * * *", "not a cron expression.*Bad minute"),
        ("0 0 31 2 *", "not a cron expression.*Bad day-of-month"),
        ("0 0 */30 2 TUE#5", "no such moment ever comes"),  # the 1st, yet the fifth Tuesday
    ],
)
def test_what_is_no_cron_expression(text: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        values.read_cron(text)


@pytest.mark.parametrize("text", ["UTC", "Europe/Berlin"])
def test_time_zones(text: str) -> None:
    assert values.read_timezone(text) == text


@pytest.mark.parametrize(
    "text", ["", "Mars/Phobos", "Europe", "../etc/passwd", "/etc/localtime", 1]
)
def test_what_is_no_time_zone(text: object) -> None:
    with pytest.raises(ValueError, match='not a time zone; write a name such as "UTC"'):
        values.read_timezone(text)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://api.cloudflare.com/client/v4/", "https://api.cloudflare.com/client/v4"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080//", "http://[::1]:8080"),
        ("https://a_b.example.com.", "https://a_b.example.com."),
    ],
)
def test_base_urls(text: str, url: str) -> None:
    assert values.read_base_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        *("", "api.cloudflare.com", "ftp://host", "https://", "https://host:x", "https://[::1"),
        *("https://host/a b", "https://ho\nst", "https://hóst", 5),
        *("https://user@host", "https://host?x=1", "https://host#x"),
        *("http://a..b/x", "http://.a", f"https://{'a' * 64}.com"),
    ],
)
def test_what_is_no_base_url(text: object) -> None:
    with pytest.raises(ValueError, match=r"not an address|credentials have keys of their own"):
        values.read_base_url(text)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
def test_addresses_of_databases(scheme: str) -> None:
    assert values.read_dsn(f"{scheme}://u:p@h/d") == "postgresql://u:p@h/d"


@pytest.mark.parametrize(
    ("read", "value"),
    [
        *(
            (values.read_dsn, value)
            for value in ("mysql://h/d", "postgresql://", "h", "postgresql://a b", 1)
        ),
        *(
            (values.read_schema, value)
            for value in ("", "a\0b", "é" * 32, "pg_x", 1, "information_schema")
        ),
        *((values.read_account_id, value) for value in ("", "a/b", "x" * 33, "é", "a b", 1)),
        *((values.read_name, value) for value in ("", " ", "a\nb", "x" * 101, 1)),
        *((values.read_email, value) for value in ("x", "a b@c", "a@b\r\nX: y", 1)),
        *((values.read_variable, value) for value in ("", "$X", "1X", "X Y", 1)),
        *((values.read_path, value) for value in ("", "a\0b", 1)),
        *((values.read_inline_token, value) for value in ("", "\n", "a b", "é", "a\nb", 1)),
        *((values.read_inline_password, value) for value in ("", "\n", "a\0b", 1)),
    ],
)
def test_refused_values(read: Callable[[object], object], value: object) -> None:
    with pytest.raises(ValueError, match=r"[a-z]"):
        read(value)


@pytest.mark.parametrize(
    ("read", "value", "result"),
    [
        (values.read_schema, 'Billing "2024"', 'Billing "2024"'),
        (
            values.read_account_id,
            "023e105f4ecef8ad9ca31a8372d0c353",
            "023e105f4ecef8ad9ca31a8372d0c353",
        ),
        (values.read_name, " Zürich ", "Zürich"),
        (values.read_email, "a+b@example.com", "a+b@example.com"),
        (values.read_variable, "_A1", "_A1"),
        (values.read_path, "a/b", Path("a/b")),
        (values.read_inline_token, "tok-en_1\n", "tok-en_1"),
        (values.read_inline_password, " p w\r\n", " p w"),
    ],
)
def test_accepted_values(read: Callable[[object], object], value: str, result: object) -> None:
    assert read(value) == result


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert values.is_loopback(host) is expected


def test_a_path_that_needs_quotes_stays_on_one_line() -> None:
    assert dotted(("accounts", 0, "a\nb")) == "accounts[0].'a\\nb'"
