from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from syncer.config import Settings, load
from syncer.config.keys import KeyPath, Table, all_paths
from syncer.config.rules import broken_rules
from syncer.errors import ConfigurationError

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
ENVIRON = {"CLOUDFLARE_API_TOKEN": "token"}


def with_every_alternative() -> Table:
    """The example with every key set, alternatives too."""
    return tomllib.loads(re.sub(r"(?m)^#(?=[a-z_]+ = |\[\[)", "", EXAMPLE.read_text()))


def test_it_loads_with_nothing_but_a_token() -> None:
    settings = load(EXAMPLE, environ=ENVIRON)
    assert settings.warnings == ()
    assert [account.credential.token for account in settings.read_accounts()] == ["token"]


def test_what_it_sets_is_the_default(tmp_path: Path) -> None:
    bare = tmp_path / "bare.toml"
    bare.write_text('[[accounts]]\nid = "023e105f4ecef8ad9ca31a8372d0c353"\nname = "production"\n')
    expected = load(bare, environ=ENVIRON).model_dump()
    found = load(EXAMPLE, environ=ENVIRON).model_dump()
    expected["database"]["data_dir"] = EXAMPLE.parent / ".syncer/postgres"
    assert found == expected


def test_it_has_every_key_and_no_other() -> None:
    assert set(paths(with_every_alternative())) == set(all_paths(Settings))


def test_nothing_but_the_choice_is_wrong_with_its_alternatives(tmp_path: Path) -> None:
    file = tmp_path / "all.toml"
    file.write_text(re.sub(r"(?m)^#(?=[a-z_]+ = |\[\[)", "", EXAMPLE.read_text()))
    with pytest.raises(ConfigurationError) as caught:
        load(file, environ={})
    assert caught.value.findings == tuple(broken_rules(with_every_alternative()))


def paths(table: Table, above: KeyPath = ()) -> list[KeyPath]:
    found: list[KeyPath] = []
    for key, value in table.items():
        if isinstance(value, dict):
            found += paths(value, (*above, key))
        elif isinstance(value, list) and isinstance(value[0], dict):
            found += paths(value[0], (*above, key, 0))
        else:
            found.append((*above, key))
    return found
