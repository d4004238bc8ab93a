"""Which keys there are, and how a path to one is written."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any, TypeAlias, get_args, get_origin

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KeyPath: TypeAlias = tuple[str | int, ...]
Table: TypeAlias = dict[str, Any]
Section: TypeAlias = type[BaseModel]


def keys_of(section: Section) -> dict[str, object]:
    """Each key of a section, as the configuration calls it, and its type."""
    return {info.alias or name: info.annotation for name, info in section.model_fields.items()}


def section_in(kind: object) -> Section | None:
    """Give the section that a key of this type holds, None if it holds none."""
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def item_in(kind: object) -> Section | None:
    """Give the section of which a key of this type holds a list, None if it holds none."""
    arguments = get_args(kind)
    if get_origin(kind) is tuple and arguments[-1:] == (...,):
        return section_in(arguments[0])
    return None


def section_at(root: Section, path: KeyPath) -> Section | None:
    """Give the section that a path leads to."""
    kind: object = root
    for part in path:
        section = section_in(kind)
        if section is not None and isinstance(part, str):
            kind = keys_of(section).get(part)
        else:
            kind = item_in(kind)
    return section_in(kind)


def all_paths(root: Section, above: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key that holds a value; the items of a list are those of its first."""
    for key, kind in keys_of(root).items():
        path = (*above, key)
        section, item = section_in(kind), item_in(kind)
        if section is not None:
            yield from all_paths(section, path)
        elif item is not None:
            yield from all_paths(item, (*path, 0))
        else:
            yield path


def dotted(path: KeyPath) -> str:
    """Write a path as people do: `accounts[0].id`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            # A key that needs quotes in TOML may hold anything, even a line break.
            bare = part.replace("_", "").replace("-", "").isalnum()
            text += f".{part}" if bare else f".{part!r}"
    return text.removeprefix(".")


def written(value: object) -> str:
    """Write a single value on one line, as TOML and JSON do; what they lack becomes text."""
    return json.dumps(value, default=str, ensure_ascii=not str(value).isprintable())


def closest(word: str, choices: Iterable[str]) -> str | None:
    """Find the choice that the word was probably meant to be."""
    return next(iter(difflib.get_close_matches(word, list(choices), n=1)), None)
