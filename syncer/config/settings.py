"""The sections of the configuration, their keys and their defaults.

Everything is frozen, and nothing shows a secret in its repr. Rules between keys are in `rules.py`:
they have to be found even where single values are wrong.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from syncer.account import Account, Credential, Discovery
from syncer.config import patterns, values
from syncer.config.secrets import SecretSource, refuse_password, refuse_token
from syncer.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping


_Variable = Annotated[str, BeforeValidator(values.read_variable)]
_Location = Annotated[Path, BeforeValidator(values.read_path)]
_Word = BeforeValidator(values.read_word)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ScheduleSettings(_Section):
    """When the daemon syncs: `every`, or `cron` in `timezone`; exactly one of them is set."""

    every: Annotated[timedelta, values.duration_between("1s", "31d")] | None = None
    cron: Annotated[str, BeforeValidator(values.read_cron)] | None = None
    timezone: Annotated[str, BeforeValidator(values.read_timezone)] = "UTC"
    jitter: Annotated[timedelta, values.duration_between("0s", "1d")] = timedelta(0)
    run_on_start: bool = True

    @model_validator(mode="before")
    @classmethod
    def _by_default(cls, given: object) -> object:
        if isinstance(given, dict) and not given.keys() & {"every", "cron"}:
            return {**given, "every": timedelta(minutes=15)}
        return given


class SyncSettings(_Section):
    """What one pass over the accounts may do."""

    invoice_type: Annotated[Literal["all", "auto", "manual"], _Word] = "all"
    concurrent_accounts: Annotated[int, values.whole_between(1, 1000)] = 8
    account_timeout: Annotated[timedelta, values.duration_between("1s", "1d")] = timedelta(
        minutes=15
    )
    max_pages: Annotated[int, values.whole_between(1, 1_000_000)] = 2000
    full_compare_every: Annotated[timedelta, values.duration_between("0s", "31d")] = timedelta(
        days=1
    )


class _CredentialKeys(_Section):
    """An API token, or an e-mail address with a global API key."""

    api_token: Annotated[SecretStr, BeforeValidator(values.read_inline_token)] | None = None
    api_token_env: _Variable | None = None
    api_token_file: _Location | None = None
    api_email: Annotated[str, BeforeValidator(values.read_email)] | None = Field(
        default=None, repr=False
    )
    api_key: Annotated[SecretStr, BeforeValidator(values.read_inline_token)] | None = None
    api_key_env: _Variable | None = None
    api_key_file: _Location | None = None

    @property
    def source(self) -> tuple[object, ...]:
        """What tells this credential from others without reading it; empty where none is named."""
        given = tuple(getattr(self, name) for name in _CredentialKeys.model_fields)
        return given if any(given) else ()

    def inline_at(self, path: str) -> tuple[str, str | None] | None:
        """What stays the same while a secret that stands in the configuration is rotated there.

        None where the secret is kept elsewhere. Another e-mail address is another user.
        """
        inline = self.api_token is not None or self.api_key is not None
        return (path, self.api_email) if inline else None

    def read_credential(self, path: str, environ: Mapping[str, str]) -> Credential | None:
        """Read what the keys below `path` name, None if they name nothing; ConfigurationError."""
        token = SecretSource(
            f"{path}.api_token", self.api_token, self.api_token_env, self.api_token_file
        )
        key = SecretSource(f"{path}.api_key", self.api_key, self.api_key_env, self.api_key_file)
        if token.is_given:
            return Credential(token=token.read(environ, refuse_token))
        if key.is_given:
            return Credential(email=self.api_email, key=key.read(environ, refuse_token))
        return None


class RateLimit(_Section):
    """At most `requests` in any stretch of `per`, for one credential."""

    requests: Annotated[int, values.whole_between(1, 1_000_000)] = 1000
    per: Annotated[timedelta, values.duration_between("1s", "1d")] = timedelta(minutes=5)


class CloudflareSettings(_CredentialKeys):
    """How the API is asked, and the credential of the accounts that name none."""

    base_url: Annotated[str, BeforeValidator(values.read_base_url)] = (
        "https://api.cloudflare.com/client/v4"
    )
    per_page: Annotated[int | Literal["auto"], BeforeValidator(values.read_page_size)] = 50
    concurrent_requests: Annotated[int, values.whole_between(1, 1000)] = 8
    request_timeout: Annotated[timedelta, values.duration_between("10ms", "10m")] = timedelta(
        seconds=30
    )
    rate_limit: RateLimit = RateLimit()
    max_attempts: Annotated[int, values.whole_between(1, 100)] = 5
    ca_file: _Location | None = None

    @model_validator(mode="before")
    @classmethod
    def _by_default(cls, given: object) -> object:
        if isinstance(given, dict) and not given.keys() & _CredentialKeys.model_fields.keys():
            return {**given, "api_token_env": "CLOUDFLARE_API_TOKEN"}
        return given


class DatabaseSettings(_Section):
    """The database; without `url`, an embedded PostgreSQL in `data_dir`."""

    url: Annotated[str, BeforeValidator(values.read_dsn)] | None = Field(default=None, repr=False)
    password: Annotated[SecretStr, BeforeValidator(values.read_inline_password)] | None = None
    password_env: _Variable | None = None
    password_file: _Location | None = None
    schema_: Annotated[str, BeforeValidator(values.read_schema)] = Field(
        default="public", alias="schema"
    )
    auto_migrate: bool = True
    data_dir: _Location = Path(".syncer/postgres")


class RetentionSettings(_Section):
    """How long rows are kept; None: for ever. Invoices always are."""

    sync_runs: Annotated[timedelta | None, values.duration_or_forever("1d", "36500d")] = None
    invoice_history: Annotated[timedelta | None, values.duration_or_forever("1d", "36500d")] = None


class LogSettings(_Section):
    """How the program's log lines look, and which there are."""

    format: Annotated[Literal["json", "console", "auto"], _Word] = "auto"
    level: Annotated[Literal["debug", "info", "warning", "error", "critical"], _Word] = "info"


class HealthSettings(_Section):
    """Where liveness and readiness are answered, None for nowhere, and when data is stale."""

    listen: Annotated[tuple[str, int] | None, BeforeValidator(values.read_listen)] = (
        "127.0.0.1",
        8080,
    )
    max_age: Annotated[timedelta, values.duration_between("1s", "366d")] = timedelta(hours=1)


class AccountSettings(_CredentialKeys):
    """One account; its credential is the default one unless it names its own."""

    id: Annotated[str, BeforeValidator(values.read_account_id)]
    name: Annotated[str, BeforeValidator(values.read_name)]

    @model_validator(mode="before")
    @classmethod
    def _by_default(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        # An id that is wrong or missing is one finding, not also one about the name.
        usable = values.is_account_id(given.get("id"))
        return {"name": given["id"] if usable else "unnamed", **given}


class DiscoverSettings(_CredentialKeys):
    """A credential whose accounts are found; `include` and `exclude` are patterns of names."""

    include: Annotated[tuple[str, ...], BeforeValidator(patterns.read_some_patterns)] = ("*",)
    exclude: Annotated[tuple[str, ...], BeforeValidator(patterns.read_patterns)] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where the secrets are read from, and what was noticed while the configuration was."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    warnings: tuple[str, ...] = ()


class Settings(BaseSettings):
    """The whole configuration, as `load` found it."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        case_sensitive=True,
    )

    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings)
    sync: SyncSettings = SyncSettings()
    cloudflare: CloudflareSettings = Field(default_factory=CloudflareSettings)
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    retention: RetentionSettings = RetentionSettings()
    log: LogSettings = LogSettings()
    health: HealthSettings = HealthSettings()
    accounts: tuple[AccountSettings, ...] = ()
    discover: tuple[DiscoverSettings, ...] = ()

    _surroundings: Surroundings = PrivateAttr(default_factory=Surroundings)

    def within(self, surroundings: Surroundings) -> Self:
        """Say where secrets are read from and what was noticed; `load` does, once."""
        self._surroundings = surroundings
        return self

    @property
    def warnings(self) -> tuple[str, ...]:
        """What works and is unwise all the same, one line each."""
        return self._surroundings.warnings

    def read_accounts(self) -> tuple[Account, ...]:
        """Read every account's credential as it is now: a token that was rotated is seen.

        One that cannot be read is its account's problem alone.
        """
        environ = self._surroundings.environ
        return tuple(self._read_account(index, environ) for index in range(len(self.accounts)))

    def _read_account(self, index: int, environ: Mapping[str, str]) -> Account:
        account = self.accounts[index]
        credential, problem = self._read_credential(account, f"accounts[{index}]", environ)
        return Account(account.id, account.name, credential, problem=problem)

    def read_discoveries(self) -> tuple[Discovery, ...]:
        """Read every discovery's credential as it is now, as accounts' are."""
        environ = self._surroundings.environ
        found = []
        for index, one in enumerate(self.discover):
            label = f"discover[{index}]"
            credential, problem = self._read_credential(one, label, environ)
            keys, path = (one, label) if one.source else (self.cloudflare, "cloudflare")
            found.append(
                Discovery(
                    label,
                    credential,
                    one.include,
                    one.exclude,
                    problem,
                    source=keys.source,
                    inline_at=keys.inline_at(path),
                )
            )
        return tuple(found)

    def _read_credential(
        self, keys: _CredentialKeys, path: str, environ: Mapping[str, str]
    ) -> tuple[Credential, str | None]:
        """Read its own credential, else the default one; and why that cannot be done."""
        try:
            credential = keys.read_credential(path, environ)
            if credential is None:
                credential = self.cloudflare.read_credential("cloudflare", environ)
        except ConfigurationError as error:
            return Credential(), str(error)
        return credential or Credential(), None

    def read_database_password(self) -> str | None:
        """Read the password as it is now; None where it is in the URL, or there is none.

        Raises ConfigurationError.
        """
        database = self.database
        source = SecretSource(
            "database.password", database.password, database.password_env, database.password_file
        )
        if not source.is_given:
            return None
        return source.read(self._surroundings.environ, refuse_password)
