"""What the pages say of the program is so, and what they should say is there."""

from __future__ import annotations

import ast
import re
import tomllib
from typing import TYPE_CHECKING

import pytest

from syncer.cli import app
from syncer.config import Settings, load
from syncer.config.keys import all_paths
from syncer.errors import Reason
from syncer.store.tables import VIEWS, metadata
from tests.documents import (
    GUIDES,
    PAGES,
    ROOT,
    Block,
    anchors,
    blocks,
    links,
    prose,
    read,
    rows,
    section,
    within,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENT = re.compile(r"[a-z_]+\.[a-z_]+")
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
LONGEST_LINE = 120
SERVERS = {"permission denied", "read-only"}  # PostgreSQL's words, which are passed on
TOML = [block for page in PAGES for block in blocks(page) if block.language == "toml"]


def place_of(block: Block) -> str:
    return block.place


@pytest.mark.parametrize("page", PAGES)
def test_every_link_within_the_repository_leads_somewhere(page: str) -> None:
    broken = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(within(target))):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", sorted({*GUIDES} - {"docs/schema.md"}))  # which nobody edits
def test_lines_are_not_too_long(page: str) -> None:
    assert [line for line in read(page).splitlines() if len(line) > LONGEST_LINE] == []


def test_every_key_is_explained_with_its_default() -> None:
    example = tomllib.loads(read("config.example.toml"))
    defaults: dict[str, object] = {}
    for path in all_paths(Settings):
        value: object = example
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        defaults[".".join(str(part) for part in path if part != 0)] = value
    assert dict(documented_defaults()) == defaults


def documented_defaults() -> Iterator[tuple[str, object]]:
    """Each key of the tables in `docs/configuration.md`, and the default beside it."""
    for name in Settings.model_fields:
        heading = f"## `[[{name}]]`" if name in {"accounts", "discover"} else f"## `[{name}]`"
        for key, default, _ in rows(section("docs/configuration.md", heading)):
            if key == "key":
                continue
            literal = default.strip("`") if default.startswith("`") else ""
            value = tomllib.loads(f"_ = {literal}")["_"] if literal else None
            yield f"{name}.{key.strip('`')}", value


@pytest.mark.parametrize("block", TOML, ids=place_of)
def test_every_toml_block_is_a_configuration(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(block.text)
    variables = re.findall(r'^\w+_env = "(\w+)"', block.text, re.MULTILINE)
    environ = dict.fromkeys(("CLOUDFLARE_API_TOKEN", *variables), "secret")
    if "[[accounts]]" not in block.text:
        environ["SYNCER_ACCOUNTS__0__ID"] = "023e105f4ecef8ad9ca31a8372d0c353"
    assert load(file, environ=environ).accounts


def test_there_are_toml_blocks() -> None:
    assert {block.place.split(":")[0] for block in TOML} >= {"README.md", "docs/configuration.md"}


def test_every_reason_is_explained_and_no_other() -> None:
    explained = re.findall(r"^- `(\w+)`:", section("docs/tables.md", "## Reasons"), re.MULTILINE)
    assert sorted(explained) == sorted(Reason)


def test_every_log_event_is_explained_and_no_other() -> None:
    explained = re.findall(r"`([a-z_]+\.[a-z_]+)`", section("docs/operations.md", "## Log events"))
    found = {name for path in (ROOT / "syncer").rglob("*.py") for name in logged(path)}
    assert "account.synced" in found
    assert set(explained) == found


def logged(path: Path) -> Iterator[str]:
    """Each event that a file logs: a call such as `log.info("noun.verb", ...)`.

    A level that is chosen first (`say = log.info if ... else log.warning`) is called by its name.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called, event = node.func, node.args[0].value
            logs = called.attr in LEVELS if isinstance(called, ast.Attribute) else named(called)
            if logs and isinstance(event, str) and EVENT.fullmatch(event):
                yield event


def named(called: ast.expr) -> bool:
    """Whether it is called by the name of a variable or a function, not of a class."""
    return isinstance(called, ast.Name) and called.id.islower()


def test_every_error_that_is_explained_is_one_that_the_program_tells() -> None:
    told = "\n".join(text for path in (ROOT / "syncer").rglob("*.py") for text in texts(path))
    for says, _ in rows(section("docs/trouble.md", "## What an error says"))[1:]:
        for quoted in re.findall(r"`([^`]+)`", says):
            # What stands for a name or a number in the page is put in by the program.
            parts = [part.strip(" ,") for part in re.split(r"\.\.\.|\b0\d+|\b30\b", quoted)]
            assert [part for part in parts if part not in told and part not in SERVERS] == []


def texts(path: Path) -> Iterator[str]:
    """Each text in a file but docstrings, those between the values of an f-string included."""
    tree = ast.parse(path.read_text())
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.value


def test_every_table_view_and_column_is_named() -> None:
    quoted = re.findall(r"`([^`]+)`", prose("docs/tables.md"))
    explained = set(re.findall(r"\w+", " ".join(quoted)))
    wanted = {*metadata.tables, *VIEWS}
    wanted |= {column.name for table in metadata.tables.values() for column in table.columns}
    wanted -= {"payload_digest"}  # only tells whether a payload is known already
    assert wanted - explained == set()


def test_every_command_is_in_the_readme() -> None:
    listed = re.findall(r"^\| `syncer (\w+)` \|", read("README.md"), re.MULTILINE)
    names = {command.callback.__name__ for command in app.registered_commands if command.callback}
    assert set(listed) == names


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^\.PHONY: (.+)$", read("Makefile"), re.MULTILINE))
    known = {name for line in targets for name in line.split()}
    wanted = {name for page in PAGES for name in re.findall(r"`make ([a-z-]+)", read(page))}
    assert wanted - known == set()


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", read("docs/guarantees.md"))
    assert len(named) > 30
    assert [pair for pair in named if f"def {pair[1]}(" not in read(pair[0])] == []
