"""From a path and the environment to settings, or to everything that is wrong with them."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import ValidationError
from pydantic_settings import InitSettingsSource

from syncer.config.environment import CONFIG_VARIABLE, Environment, lay_over, read_environment
from syncer.config.findings import findings_of
from syncer.config.rules import broken_rules, secrets_in
from syncer.config.settings import DatabaseSettings, Settings, Surroundings
from syncer.config.values import is_loopback
from syncer.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

    from syncer.config.keys import Table

_DEFAULT_FILE = "config.toml"
_ACCOUNT_VARIABLE = "CLOUDFLARE_ACCOUNT_ID"
_DEFAULT_DATA_DIR = DatabaseSettings.model_fields["data_dir"].default


def load(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    needs_accounts: bool = True,
) -> Settings:
    """Read the configuration from a file and the environment, which wins.

    The file is `path`, else the one that SYNCER_CONFIG names, else `config.toml` in the current
    directory if there is one. Relative paths in the configuration are relative to the file's
    directory, without a file to the current one. Without a file, CLOUDFLARE_ACCOUNT_ID makes an
    account if no other is given. Who only reads the database needs no account at all.

    Secrets are only read by the settings' methods, from the same environment.
    Raises ConfigurationError with everything that is wrong, one line each.
    """
    environ = os.environ if environ is None else environ
    file = _find(path, environ)
    given = {} if file is None else _read(file)
    variables = read_environment(environ, Settings)
    values = lay_over(given, variables)
    given_any = values.get("accounts") or values.get("discover")
    if file is None and not given_any and environ.get(_ACCOUNT_VARIABLE):
        values["accounts"] = [{"id": environ[_ACCOUNT_VARIABLE]}]
        variables.variables["accounts", 0, "id"] = _ACCOUNT_VARIABLE
    _make_absolute(values, Path.cwd() if file is None else file.absolute().parent)
    settings = _build(values, variables, needs_accounts=needs_accounts)
    warnings = (*variables.warnings, *_warnings(settings, given, file))
    return settings.within(Surroundings(environ=environ, warnings=warnings))


def _build(values: Table, variables: Environment, *, needs_accounts: bool) -> Settings:
    class Loaded(Settings):
        """Takes the values as they are laid over each other, and from nowhere else.

        The sources of pydantic-settings know neither the items of a list, nor that one form of a
        secret replaces another, nor the name of the variable that is wrong.
        """

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            *_others: PydanticBaseSettingsSource,
            **_named: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (InitSettingsSource(settings_cls, init_kwargs=values),)

    findings = variables.findings
    settings = None
    try:
        settings = Loaded()
    except ValidationError as error:
        findings += findings_of(error, Settings, variables.variables)
    findings += broken_rules(values, needs_accounts=needs_accounts)
    if settings is None or findings:
        raise ConfigurationError(findings)
    return settings


def _find(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    if path is None and environ.get(CONFIG_VARIABLE):
        path = Path(environ[CONFIG_VARIABLE])
    if path is None:
        default = Path(_DEFAULT_FILE)
        return default if default.exists() else None
    return path


def _read(file: Path) -> Table:
    try:
        # Some editors begin a file with a byte order mark, which TOML doesn't know.
        return tomllib.loads(file.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        reason = f"{file}: cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        reason = f"{file}: not UTF-8 text"
    except tomllib.TOMLDecodeError as error:
        place = re.fullmatch(r"(.*) \(at (.*)\)", str(error), re.DOTALL)
        text, where = place.groups() if place else (str(error), "somewhere")
        reason = f"{file}, {where}: not TOML: {text!s}".replace("\n", "\\n")
    raise ConfigurationError([reason])


def _make_absolute(values: Table, directory: Path) -> None:
    database = values.setdefault("database", {})
    tables = [database, values.get("cloudflare")]
    for listed in (values.get("accounts"), values.get("discover")):
        tables += listed if isinstance(listed, list) else []
    for table in tables:
        if isinstance(table, dict):
            for key, value in table.items():
                if key.endswith(("_file", "_dir")) and isinstance(value, str) and value:
                    table[key] = str(directory / _with_home(Path(value)))
    if isinstance(database, dict):
        database.setdefault("data_dir", str(directory / _DEFAULT_DATA_DIR))


def _with_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:  # no such user, or none at all: then it is a name like any other
        return path


def _warnings(settings: Settings, given: Table, file: Path | None) -> Iterator[str]:
    if file is not None and _holds_secret(given):
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & 0o077:
            yield f"{file} holds a secret and others can read it (mode {mode:04o}); chmod 600"
    url = urlsplit(settings.cloudflare.base_url)
    if url.scheme == "http" and not is_loopback(url.hostname or ""):
        yield f"cloudflare.base_url: credentials travel to {url.hostname} unencrypted; use https"


def _holds_secret(given: object) -> bool:
    if isinstance(given, list):
        return any(_holds_secret(item) for item in given)
    if not isinstance(given, dict):
        return False
    return any(
        key in {"api_token", "api_key", "password"}
        or (key == "url" and secrets_in(inner))
        or _holds_secret(inner)
        for key, inner in given.items()
    )
