"""Accounts, how to find them, and what their requests authenticate with."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Credential:
    """An API token, or an e-mail address with a global API key; none of it in the repr.

    Accounts that share a credential share its request budget, so credentials compare by value.
    """

    token: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)

    def headers(self) -> dict[str, str]:
        """Request headers: `Authorization`, or the older `X-Auth-Email` and `X-Auth-Key`."""
        if self.token is not None:
            return {"Authorization": f"Bearer {self.token}"}
        if self.email is not None and self.key is not None:
            return {"X-Auth-Email": self.email, "X-Auth-Key": self.key}
        raise ValueError("a credential is a token, or an e-mail address with a key")

    def secrets(self) -> tuple[str, ...]:
        """Everything that nobody may be shown, the e-mail address included."""
        return tuple(text for text in (self.token, self.email, self.key) if text)


@dataclass(frozen=True, slots=True)
class Account:
    """One Cloudflare account to be synced; `name` is for people, the id where none was given.

    `problem` says why its credential cannot be read at present; None where it can.
    """

    id: str
    name: str
    credential: Credential
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Discovery:
    """A credential whose accounts are to be found, by patterns of their names.

    `label` is its place in the configuration, `source` where its credential is kept, as something
    that can be compared and shows no secret; `inline_at` where the configuration itself holds the
    secret, None where that is kept elsewhere; `problem` as an account's.
    """

    label: str
    credential: Credential
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    problem: str | None = None
    source: object = field(default=None, repr=False)
    inline_at: object = field(default=None, repr=False)

    @property
    def key(self) -> object:
        """What stays the same when its credential is rotated in its file, or its place changes."""
        return self.source, self.include, self.exclude
