"""The values of single keys: each is read from text, or refused with what would be right."""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import BeforeValidator

from syncer.config.secrets import refuse_password, refuse_token, without_line_break

_UNITS: Final = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
_DURATION = re.compile("".join(rf"(?:({_NUMBER}){unit}(?![a-z]))?" for unit in _UNITS))
_NOT_A_DURATION = 'not a duration; write a number and a unit, such as "30s", "15m" or "2h"'
_NOT_A_CRON = (
    "not a cron expression; write minute, hour, day of the month, month and day of the week, "
    'such as "*/15 * * * *"'
)
_CRON_FIELDS = 5
_NOT_LISTEN = (
    'not an address; write a host and a port, such as "127.0.0.1:8080", "0.0.0.0:8080" or '
    '"[::1]:8080", or "" to turn it off'
)
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*")
_NOT_A_BASE_URL = 'not an address; write a URL such as "https://api.cloudflare.com/client/v4"'
_NOT_A_DSN = "not a PostgreSQL address; write one such as postgresql://user@host:5432/database"
_POSTGRES_SCHEMES = ("postgresql", "postgres", "postgresql+asyncpg")
_IDENTIFIER_LIMIT = 63  # bytes, of PostgreSQL
_NAME_LIMIT = 100


def parse_duration(value: object) -> timedelta:
    """Read `"500ms"`, `"30s"`, `"1h30m"`; ValueError says what would be right."""
    if isinstance(value, timedelta):
        return value
    # A day may be followed by hours and so on, each unit at most once.
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not any(match.groups()):
        raise ValueError(_NOT_A_DURATION)
    try:
        return sum(
            (
                float(number) * unit
                for number, unit in zip(match.groups(), _UNITS.values(), strict=True)
                if number
            ),
            timedelta(),
        )
    except OverflowError:
        raise ValueError("longer than any clock") from None


def format_duration(value: timedelta) -> str:
    """Write a duration as the configuration has it."""
    rest_ms = round(value / timedelta(milliseconds=1))
    text = ""
    for name, unit in _UNITS.items():
        count, rest_ms = divmod(rest_ms, unit // timedelta(milliseconds=1))
        text += f"{count}{name}" if count else ""
    return text or "0s"


def duration_between(least: str, most: str) -> BeforeValidator:
    """Accept durations from `least` to `most`, both included."""
    return BeforeValidator(lambda value: _read_between(value, least, most))


def duration_or_forever(least: str, most: str) -> BeforeValidator:
    """Accept durations from `least` to `most`, both included, and `"forever"`, which is None."""

    def read(value: object) -> timedelta | None:
        if value is None or (isinstance(value, str) and value.strip() == "forever"):
            return None
        try:
            return _read_between(value, least, most)
        except ValueError as error:
            raise ValueError(f'{error}, or "forever"') from None

    return BeforeValidator(read)


def _read_between(value: object, least: str, most: str) -> timedelta:
    duration = parse_duration(value)
    if not parse_duration(least) <= duration <= parse_duration(most):
        raise ValueError(f"out of range; write a duration from {least} to {most}")
    return duration


def whole_between(least: int, most: int) -> BeforeValidator:
    """Accept whole numbers from `least` to `most`, both included, or their digits."""
    return BeforeValidator(lambda value: read_whole(value, least, most))


def read_whole(value: object, least: int, most: int) -> int:
    """Read a whole number from `least` to `most`, or its digits."""
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", value):
        number = int(value)  # from the environment
    if number is None or not least <= number <= most:
        raise ValueError(f"not a whole number from {least} to {most}")
    return number


def read_page_size(value: object) -> int | Literal["auto"]:
    """Accept a number of invoices that a page may have, or `"auto"`."""
    if isinstance(value, str) and value.strip() == "auto":
        return "auto"
    try:
        return read_whole(value, 1, 1000)
    except ValueError as error:
        raise ValueError(f'{error}, or "auto"') from None


def read_cron(value: object) -> str:
    """Check a crontab's five fields, and that they come round at all."""
    fields = value.split() if isinstance(value, str) else []
    if len(fields) != _CRON_FIELDS:  # cronsim would take a sixth for seconds
        raise ValueError(_NOT_A_CRON)
    expression = " ".join(fields)
    try:
        next(CronSim(expression, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise ValueError(f"{_NOT_A_CRON} ({error})") from None
    except StopIteration:
        raise ValueError("no such moment ever comes") from None
    return expression


def read_timezone(value: object) -> str:
    """Check a name of the time zone database."""
    name = value if isinstance(value, str) else ""
    try:
        ZoneInfo(name)
    except (ValueError, KeyError, OSError):  # no such shape, no such zone, a directory of zones
        raise ValueError('not a time zone; write a name such as "UTC" or "Europe/Berlin"') from None
    return name


def read_listen(value: object) -> tuple[str, int] | None:
    """Read `"host:port"`, IPv6 in brackets; None for `""`."""
    if value == "":
        return None
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 2**16:
        raise ValueError(_NOT_LISTEN)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if not _is_ip(host, 6):
            raise ValueError(_NOT_LISTEN)
    elif not _is_ip(host, 4) and not _HOST_NAME.fullmatch(host):
        raise ValueError(_NOT_LISTEN)
    return host, int(port)


def read_base_url(value: object) -> str:
    """Check an http(s) URL without user, query or fragment, and drop trailing slashes."""
    text = value if isinstance(value, str) else ""
    try:
        url = urlsplit(text)
        host = url.hostname or ""
        host.encode("idna")  # as every connection does; refuses an empty label and a long one
        usable = url.scheme in {"http", "https"} and bool(host) and url.port != 0
    except ValueError:
        usable = False
    if not usable or not text.isascii() or re.search(r"\s", text):
        raise ValueError(_NOT_A_BASE_URL)
    if url.username is not None or url.query or url.fragment:
        raise ValueError("only scheme, host, port and path; credentials have keys of their own")
    return text.rstrip("/")


def read_dsn(value: object) -> str:
    """Check a connection URI of PostgreSQL; its scheme becomes `postgresql`."""
    scheme, separator, rest = value.partition("://") if isinstance(value, str) else ("", "", "")
    if scheme not in _POSTGRES_SCHEMES or not rest or re.search(r"\s", rest):
        raise ValueError(_NOT_A_DSN)
    return f"postgresql{separator}{rest}"


def read_schema(value: object) -> str:
    """Check the name of a schema, which is always quoted, so that any text will do."""
    name = value if isinstance(value, str) else ""
    if not name.isprintable() or not 0 < len(name.encode()) <= _IDENTIFIER_LIMIT:
        raise ValueError(f"not the name of a schema; 1 to {_IDENTIFIER_LIMIT} bytes of text")
    if name.startswith("pg_") or name == "information_schema":
        raise ValueError("PostgreSQL keeps this name for itself; choose another")
    return name


def read_account_id(value: object) -> str:
    """Check an account's id, which becomes a part of a URL's path."""
    if not isinstance(value, str) or not is_account_id(value):
        raise ValueError("not an account id; Cloudflare's have 32 hexadecimal digits")
    return value


def is_account_id(value: object) -> bool:
    """Whether a value can be an account's id."""
    return isinstance(value, str) and bool(re.fullmatch(r"[A-Za-z0-9_-]{1,32}", value))


def read_name(value: object) -> str:
    """Check what people call an account: one short line of text."""
    name = value.strip() if isinstance(value, str) else ""
    if not name.isprintable() or not 0 < len(name) <= _NAME_LIMIT:
        raise ValueError(f"not a name; 1 to {_NAME_LIMIT} printable characters in quotes")
    return name


def read_email(value: object) -> str:
    """Check an e-mail address as far as a request header needs it."""
    if not isinstance(value, str) or not re.fullmatch(r"[!-?A-~]+@[!-?A-~]+", value):
        raise ValueError("not an e-mail address")
    return value


def read_inline_token(value: object) -> str:
    """Check a token or key that the configuration itself holds."""
    token = without_line_break(value) if isinstance(value, str) else ""
    if refuse_token(token) is not None:
        raise ValueError("not a token; one word of ASCII characters in quotes")
    return token


def read_inline_password(value: object) -> str:
    """Check a password that the configuration itself holds."""
    password = without_line_break(value) if isinstance(value, str) else ""
    if refuse_password(password) is not None:
        raise ValueError("not a password; one or more characters in quotes")
    return password


def read_word(value: object) -> object:
    """Take a word in any case."""
    return value.lower() if isinstance(value, str) else value


def read_variable(value: object) -> str:
    """Check the name of an environment variable."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError("not the name of an environment variable; write it without a dollar sign")
    return value


def read_path(value: object) -> Path:
    """Check a path; what it names need not exist yet."""
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise ValueError("not a path")
    return Path(value)


def is_loopback(host: str) -> bool:
    """Whether traffic to the host stays on this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_ip(host: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(host).version == version
    except ValueError:
        return False
