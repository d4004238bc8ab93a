"""`SYNCER_DATABASE__URL` and its like: the configuration's keys as environment variables.

A variable is named `SYNCER_` and the path of the key in capitals, its parts joined by two
underscores; items of a list are numbered from 0. A whole section or list can be given as JSON,
where null counts as not given. The environment wins over the file, key by key, and a key that
excludes others takes their place: a token given here is used instead of the file's.

An empty variable counts as not set, except `SYNCER_HEALTH__LISTEN`, where empty means off. Names
without two underscores that are no section are not ours: Kubernetes sets `SYNCER_PORT` for a
service that is called syncer.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from syncer.config.keys import all_paths, closest, item_in, keys_of, section_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from syncer.config.keys import KeyPath, Section, Table

PREFIX = "SYNCER_"
CONFIG_VARIABLE = "SYNCER_CONFIG"

_EMPTY_MEANS_SOMETHING: tuple[KeyPath, ...] = (("health", "listen"),)
_TOKEN = frozenset({"api_token", "api_token_env", "api_token_file"})
_KEY = frozenset({"api_key", "api_key_env", "api_key_file"})
_EMAIL = frozenset({"api_email"})
_PASSWORD = frozenset({"password", "password_env", "password_file"})
# What a key that the environment gives puts out of force beside it in the file.
_DISPLACED: Mapping[str, frozenset[str]] = {
    "every": frozenset({"cron"}),
    "cron": frozenset({"every"}),
    **{key: (_TOKEN | _KEY | _EMAIL) - {key} for key in _TOKEN},
    **{key: (_TOKEN | _KEY) - {key} for key in _KEY},
    **dict.fromkeys(_EMAIL, _TOKEN),
    **{key: _PASSWORD - {key} for key in _PASSWORD},
}


@dataclass(slots=True)
class Environment:
    """What the variables give: values and the variable of each, and what is wrong with them."""

    values: dict[KeyPath, object] = field(default_factory=dict)
    variables: dict[KeyPath, str] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_environment(environ: Mapping[str, str], root: Section) -> Environment:
    """Read every variable that gives a key of `root`, or seems to be meant to."""
    read = Environment()
    misspelt = {
        variable_name(path).replace("__", "_"): variable_name(path) for path in all_paths(root)
    }
    ours = (name for name in environ if name.startswith(PREFIX) and name != CONFIG_VARIABLE)
    # The shorter name first, so that single keys win over a section's JSON.
    for name in sorted(ours, key=lambda name: (name.count("__"), name)):
        parts = name.removeprefix(PREFIX).lower().split("__")
        if len(parts) == 1 and parts[0] not in keys_of(root):
            if name in misspelt:
                read.warnings.append(f"{name} is not read; the variable is {misspelt[name]}")
            continue
        try:
            path, kind = _resolve(name, parts, root)
            for leaf, value in _values(name, environ[name], path, kind):
                read.values[leaf] = value
                read.variables[leaf] = name
        except ValueError as error:
            read.findings.append(str(error))
    return read


def lay_over(file: Table, environment: Environment) -> Table:
    """Give the file's values with the environment's in their place."""
    tree = _numbered(file)
    for path in sorted(environment.values):
        node = tree
        for part, following in pairwise(path):
            if isinstance(part, int) and part > len(node):
                environment.findings.append(
                    f"{environment.variables[path]}: there is no item {len(node)}; "
                    "number them from 0 without gaps"
                )
                break
            wanted = _Items if isinstance(following, int) else dict
            if type(node.get(part)) is not wanted:
                node[part] = wanted()
            node = node[part]
        else:
            for key in _DISPLACED.get(str(path[-1]), ()):
                if (*path[:-1], key) not in environment.values:
                    node.pop(key, None)
            node[path[-1]] = _numbered(environment.values[path])
    listed: Table = _listed(tree)
    return listed


def variable_name(path: KeyPath) -> str:
    """Name the variable that gives a key."""
    return PREFIX + "__".join(str(part).upper() for part in path)


def _resolve(name: str, parts: list[str], root: Section) -> tuple[KeyPath, object]:
    path: KeyPath = ()
    kind: object = root
    for index, part in enumerate(parts):
        section, item = section_in(kind), item_in(kind)
        if section is not None and part in keys_of(section):
            kind = keys_of(section)[part]
            path = (*path, part)
        elif item is not None and re.fullmatch(r"[0-9]{1,4}", part):
            kind = item
            path = (*path, int(part))
        else:
            meant = None if section is None else closest(part, keys_of(section))
            if meant is None:
                raise ValueError(f"{name}: no such key")
            better = variable_name((*parts[:index], meant, *parts[index + 1 :]))
            raise ValueError(f'{name}: no such key; did you mean "{better}"?')
    return path, kind


def _values(name: str, text: str, path: KeyPath, kind: object) -> Iterator[tuple[KeyPath, object]]:
    if not text and path not in _EMPTY_MEANS_SOMETHING:
        return
    wanted = dict if section_in(kind) else list if item_in(kind) else None
    if wanted is None:
        yield path, text
        return
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # the text may hold secrets, and json quotes none of it
        value = None
    fits = isinstance(value, wanted)
    if not fits:
        raise ValueError(f"{name}: not a JSON {'object' if wanted is dict else 'list'}")
    yield from _leaves(path, value)


def _leaves(path: KeyPath, value: object) -> Iterator[tuple[KeyPath, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves((*path, key), inner)
    elif isinstance(value, list):
        yield path, [_without_nulls(item) for item in value]
    elif value is not None:
        yield path, value


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {k: _without_nulls(inner) for k, inner in value.items() if inner is not None}
    return value


class _Items(dict[int, Any]):
    """A list while its items are being laid over each other, by number."""


def _numbered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbered(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return _Items(enumerate(_numbered(inner) for inner in value))
    return value


def _listed(value: Any) -> Any:
    if isinstance(value, _Items):
        return [_listed(inner) for inner in value.values()]
    if isinstance(value, dict):
        return {key: _listed(inner) for key, inner in value.items()}
    return value
