"""Reading secrets where they are kept: in the configuration, in a variable, or in a file.

No text here ever shows a secret, nor a name under which somebody may have pasted one by mistake.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncer.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pydantic import SecretStr

# API tokens and keys have 37 characters and more, account ids 32.
_LONG_WORD = re.compile(r"[A-Za-z0-9_-]{33,}")
_SIZE_LIMIT = 64 * 1024  # bytes; whatever is larger is some other file


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where one secret is: at most one of value, variable and file is given.

    `key` is the path of its key in the configuration, such as `database.password`.
    """

    key: str
    value: SecretStr | None
    variable: str | None
    file: Path | None

    @property
    def is_given(self) -> bool:
        """Whether the configuration says where the secret is."""
        return any(one is not None for one in (self.value, self.variable, self.file))

    def read(self, environ: Mapping[str, str], refusal: Callable[[str], str | None]) -> str:
        """Read the secret as it is now; a line break at its end is dropped.

        `refusal` says what is wrong with a text, or None. Raises ConfigurationError.
        """
        if self.file is not None:
            place = f"{self.key}_file: {shown_path(self.file)}"
            text = _read_text(self.file, place)
        elif self.variable is not None:
            place = f"{self.key}_env: the variable {shown_variable(self.variable)}"
            if self.variable not in environ:
                raise ConfigurationError([f"{place} is not set"])
            text = environ[self.variable]
        else:
            place = self.key
            text = "" if self.value is None else self.value.get_secret_value()
        text = without_line_break(text)
        reason = refusal(text)
        if reason is not None:
            raise ConfigurationError([f"{place} {reason}"])
        return text


def without_line_break(text: str) -> str:
    """Drop the line break at a text's end, which editors and `echo` leave there."""
    return text.removesuffix("\n").removesuffix("\r")


def refuse_token(text: str) -> str | None:
    """Say why a text cannot be an API token or key: it becomes a request header."""
    if not text.strip():
        return "is empty"
    if not re.fullmatch(r"[!-~]+", text):
        return "holds a space, a line break or a character outside ASCII, which no token has"
    return None


def refuse_password(text: str) -> str | None:
    """Say why a text cannot be a password of PostgreSQL."""
    if not text:
        return "is empty"
    if "\0" in text:
        return "holds a NUL character, which no password has"
    return None


def shown_variable(name: str) -> str:
    """Give the name, unless it looks like a token that was pasted in its place."""
    return name if re.fullmatch(r"[A-Z_][A-Z0-9_]*", name) else "(not shown, it may be a secret)"


def may_hold_secret(text: str) -> bool:
    """Whether a value may be a token, or an address with a password in it, in the wrong place."""
    is_address = "://" in text and re.search(r"[@?#]", text)
    names_password = re.search(r"passw|secret|token", text, re.IGNORECASE)
    return bool(is_address or names_password or "@" in text) or looks_like_token(text)


def looks_like_token(text: str) -> bool:
    """Whether there is a word in it that is longer than any name or id."""
    return bool(_LONG_WORD.search(text))


def shown_path(path: Path) -> str:
    """Give the path, unless its last part looks like a token that was pasted in its place."""
    suspicious = re.fullmatch(r"(?=.*[0-9])(?=.*[A-Z])[A-Za-z0-9_-]{30,}|[0-9a-f]{30,}", path.name)
    return f"{path.parent}/(not shown, it may be a secret)" if suspicious else str(path)


def _read_text(path: Path, place: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_SIZE_LIMIT + 1)
    except OSError as error:
        raise ConfigurationError([f"{place} cannot be read: {error.strerror}"]) from error
    if len(content) > _SIZE_LIMIT:
        raise ConfigurationError([f"{place} is larger than any secret"])
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ConfigurationError([f"{place} is not UTF-8 text"]) from None
