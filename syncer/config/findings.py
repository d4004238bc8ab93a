"""What pydantic found wrong, as lines that say where, what, and what would be right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syncer.config.keys import all_paths, closest, dotted, keys_of, section_at, written
from syncer.config.secrets import looks_like_token, may_hold_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from syncer.config.keys import KeyPath, Section

# Their values may be secrets, hold one, or be one that was pasted into the wrong key.
_NEVER_SHOWN = frozenset(
    {
        *("api_token", "api_token_env", "api_token_file", "api_email"),
        *("api_key", "api_key_env", "api_key_file"),
        *("password", "password_env", "password_file", "url"),
    }
)
_SHOWN_LENGTH = 80
_TEXTS = {
    "missing": "missing",
    "string_type": "not a text; put it in quotes",
    "bool_parsing": "not true or false",
    "bool_type": "not true or false",
    "model_type": "not a table of keys",
    "tuple_type": "not a list of tables",
}


def findings_of(
    error: ValidationError, root: Section, variables: Mapping[KeyPath, str]
) -> list[str]:
    """One line for each value or key that is wrong; `variables` gave the keys of their paths."""
    return [_finding(details, root, variables) for details in error.errors()]


def _finding(details: ErrorDetails, root: Section, variables: Mapping[KeyPath, str]) -> str:
    path = details["loc"]
    text = dotted(path)
    if details["type"] == "extra_forbidden":
        if looks_like_token(str(path[-1])):
            return f"{dotted(path[:-1])}: an unknown key (not shown, it may be a secret)".lstrip(
                ": "
            )
        text += f"{_variable(path, variables)}: unknown key{_suggestion(path, root)}"
        return text
    if details["type"] != "missing" and path[-1] not in _NEVER_SHOWN:
        text += _shown(details["input"])
    return f"{text}{_variable(path, variables)}: {_reason(details)}"


def _reason(details: ErrorDetails) -> str:
    context = details.get("ctx", {})
    if details["type"] == "value_error":
        return str(context["error"])
    if details["type"] == "literal_error":
        return f"write {context['expected']}".replace("'", '"')
    return _TEXTS.get(details["type"], details["msg"])


def _variable(path: KeyPath, variables: Mapping[KeyPath, str]) -> str:
    return f" ({variables[path]})" if path in variables else ""


def _suggestion(path: KeyPath, root: Section) -> str:
    section = section_at(root, path[:-1])
    here = [] if section is None else keys_of(section)
    elsewhere = {str(known[-1]): dotted(known) for known in all_paths(root)}
    word = str(path[-1])
    meant = closest(word, here) or elsewhere.get(closest(word, elsewhere) or "")
    return f'; did you mean "{meant}"?' if meant else ""


def _shown(value: Any) -> str:
    """Show a single value on one line, unless a secret may have been pasted there."""
    if isinstance(value, dict | list) or (isinstance(value, str) and may_hold_secret(value)):
        return ""
    text = written(value)
    return f" = {text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + '...'}"
