"""A configuration full of secrets, an API that sends them back, and all places to search."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import asyncpg

from syncer.demo.account import SimulatedAccount
from syncer.demo.faults import Answer, Cut, Hang, Reset, Rewrite
from syncer.demo.invoices import make_history
from tests.planted import Secret, leaked, secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from syncer.demo.account import Login
    from syncer.demo.faults import Fault, JsonObject
    from tests.acceptance.program import Finished, Program

LINK: Final = secret("link", "live_")
LINKS: Final = [LINK, secret("link of a rejection", "live_"), secret("link in a field", "live_")]
URL_OF: Final = {
    one.name: f"https://pay.example.test/invoice/acct_1/{one.text}?s=ap" for one in LINKS
}
# Where the links belong, and nothing else does; a link in an undocumented field is in the history.
HOME: Final = {
    ("invoices", "invoice_pdf"): {"link"},
    ("rejected_invoices", "payload"): {"link of a rejection"},
    ("invoices", "extra"): {"link in a field"},
    ("invoice_history", "before"): {"link in a field"},
    ("invoice_history", "after"): {"link in a field"},
}
# What a view shows of a table has its home there.
VIEWED: Final = {
    ("invoice_changes", "before"): ("invoice_history", "before"),
    ("invoice_changes", "after"): ("invoice_history", "after"),
    ("invoice_versions", "content"): ("invoice_history", "after"),
}


@dataclass
class Planted:
    """The secrets of one configuration; every account's are made known to the API."""

    syncer: Program
    secrets: list[Secret] = field(default_factory=lambda: list(LINKS))
    environment: dict[str, str] = field(default_factory=dict)
    blocks: list[str] = field(default_factory=list)
    kept: set[Path] = field(default_factory=set)

    def new(self, name: str, prefix: str = "", suffix: str = "") -> str:
        made = secret(name, prefix, suffix)
        self.secrets.append(made)
        return made.text

    def file(self, name: str, text: str) -> Path:
        path = self.syncer.directory / name
        path.write_text(text + "\n")
        path.chmod(0o600)
        self.kept.add(path)
        return path

    def add(self, name: str, form: str, answer: Callable[[Login], Fault | None]) -> None:
        """Add an account with a credential in this form, which the API answers so."""
        login: Login
        if form.startswith("api_token"):
            login = self.new(f"token of {name}", "tok.", "~+/=")
            lines = [self._given(form, name, login)]
        else:
            # As long as a key is: 37 characters. A shorter text may be the CF-Ray of some proxy.
            key = self.new(f"key of {name}", "c0ffee0")
            login = (self.new(f"email of {name}", "", "@mail.test"), key)
            lines = [f'api_email = "{login[0]}"', self._given(form, name, login[1])]
        account_id = f"{len(self.blocks) + 1:032x}"
        self.blocks.append(
            "\n".join(["[[accounts]]", f'id = "{account_id}"', f'name = "{name}"', *lines])
        )
        invoices = make_history(name, 3)
        for invoice in invoices:
            invoice["invoice_pdf"] = URL_OF["link"]
            invoice["hosted_invoice_url"] = URL_OF["link in a field"]
        invoices[2]["invoice_pdf"] = (
            invoices[2].pop("hosted_invoice_url").replace(LINKS[2].text, LINKS[1].text)
        )
        del invoices[2]["currency"]
        account = SimulatedAccount(account_id, {login}, invoices=invoices)
        account.script = lambda _nth, _seen: answer(login)
        self.syncer.api.accounts[account_id] = account

    def _given(self, form: str, name: str, text: str) -> str:
        if form.endswith("_file"):
            return f'{form} = "{self.file(f"secret-{name}", text).name}"'
        if form.endswith("_env"):
            variable = f"PLANTED_{name.upper().replace('-', '_')}"
            self.environment[variable] = text
            return f'{form} = "{variable}"'
        return f'{form} = "{text}"'

    def configure(self, *, database: str, **log: str) -> Path:
        """Write the configuration; `database` holds the lines of that section."""
        top = [
            "[schedule]",
            'every = "1s"',
            "run_on_start = false",
            "[cloudflare]",
            f'base_url = "{self.syncer.api.base_url}"',
            "max_attempts = 2",
            # All accounts at once are answered within it, also by a busy machine.
            'request_timeout = "3s"',
            "[health]",
            f'listen = "{log.pop("listen", "")}"',
            "[log]",
            *(f'{key} = "{value}"' for key, value in log.items()),
            "[database]",
            database,
        ]
        return self.file("planted.toml", "\n".join([*top, *self.blocks]))

    def search(self, finished: Finished) -> None:
        for line in (finished.stdout + finished.stderr).splitlines():
            assert leaked(line, self.secrets) == [], line

    def search_files(self, *others: Path) -> None:
        """Look through everything that was left behind, but for what was written on purpose."""
        places = (self.syncer.directory, *others)
        left = [path for place in places for path in place.rglob("*") if path.is_file()]
        for path in set(left) - self.kept:
            assert leaked(path.read_bytes(), self.secrets) == [], path

    async def search_database(self, dsn: str) -> set[tuple[str, str]]:
        """Look through every column of every table and view; where the links are."""
        found = set()
        connection = await asyncpg.connect(dsn)
        try:
            columns = await connection.fetch(
                "SELECT table_name, column_name FROM information_schema.columns"
                " WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
            )
            for table, column in columns:
                values = await connection.fetchval(
                    f'SELECT string_agg("{column}"::text, chr(10)) FROM "{table}"'
                )
                names = set(leaked(values or "", self.secrets))
                home = (table, column)
                home = VIEWED.get(home, home)
                assert names <= HOME.get(home, set()), (table, column)
                if names:
                    found.add((table, column))
        finally:
            await connection.close()
        return found


def normal(_login: Login) -> None:
    """Answer as the API does."""


def forms_of(login: Login) -> Iterator[str]:
    for text in (login,) if isinstance(login, str) else login:
        yield text
        yield quote(text, safe="")
        yield base64.b64encode(text.encode()).decode()


def envelope(login: Login, status: int, code: int) -> Answer:
    """Refuse, and send the credential back in the words, in headers and in cookies."""
    words = " and ".join(["Invalid credential", *forms_of(login)])
    plain = login if isinstance(login, str) else login[1]
    chain = [{"code": code + 1, "message": words}]
    error = {"code": code, "message": words, "error_chain": chain, plain: plain}
    body = {"success": False, "errors": [error], "messages": [words], "result": None, plain: words}
    return Answer(
        status,
        json.dumps(body).encode(),
        {
            "Content-Type": f"application/json; x={plain}",
            "CF-Ray": plain,
            "Retry-After": plain,
            "Ratelimit": f'"{plain}";r=1;t=0',
            "Set-Cookie": f"session={plain}; Path=/; {plain}",
            "Server": plain,
            "Location": f"http://127.0.0.1:1/?token={quote(plain)}",
        },
    )


def page(login: Login, status: int) -> Answer:
    """Send the credential back in HTML."""
    text = " ".join(forms_of(login))
    return Answer(
        status,
        f"<html><title>{text}</title><body>{text}".encode(),
        {"Content-Type": "text/html", "Location": f"http://127.0.0.1:1/{quote(text)}"},
    )


def misplaced(login: Login) -> Rewrite:
    """Send it back where the API documents something of another type."""
    text = " ".join(forms_of(login))

    def edit(payload: JsonObject) -> JsonObject:
        payload["result"]["pagination"]["page"] = text
        payload["result"]["invoices"][0]["amount_due"] = URL_OF["link of a rejection"]
        return payload

    return Rewrite(edit)


# Each way in which a credential can be given, and each way in which an answer can go wrong.
ACCOUNTS: Final[dict[str, tuple[str, Callable[[Login], Fault | None]]]] = {
    "normal": ("api_token", normal),
    "denied": ("api_token_env", lambda login: envelope(login, 403, 10000)),
    "rejected": ("api_token_file", lambda login: envelope(login, 400, 1234)),
    "refused": ("api_key", lambda login: envelope(login, 200, 7001)),
    "unknown": ("api_key_env", lambda login: envelope(login, 404, 7003)),
    "throttled": ("api_key_file", lambda login: envelope(login, 429, 971)),
    "moved": ("api_token_env", lambda login: page(login, 302)),
    "broken": ("api_token_env", lambda login: page(login, 502)),
    "html": ("api_key_file", lambda login: page(login, 200)),
    "misplaced": ("api_token", misplaced),
    "silent": ("api_token_file", lambda _login: Hang()),
    "reset": ("api_token_file", lambda _login: Reset()),
    "cut": ("api_token_file", lambda _login: Cut()),
}
