"""What Python shows of the parts, and of their errors with all that they were raised from."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import pytest

from syncer.account import Account, Credential
from syncer.app import open_client
from syncer.cloudflare.tally import Tally
from syncer.config import load
from syncer.errors import CloudflareError, DatabaseError
from syncer.store.engine import Database
from tests.acceptance.planting import envelope, page
from tests.integration.walking import ACCOUNT_ID, walking
from tests.planted import leaked, secret

if TYPE_CHECKING:
    from pathlib import Path

TOKEN, EMAIL, KEY = secret("token", "tok."), secret("email", "", "@mail.test"), secret("key")
PASSWORD = secret("password", suffix="!ä")
SECRETS = [TOKEN, EMAIL, KEY, PASSWORD]
CREDENTIALS = [Credential(token=TOKEN.text), Credential(email=EMAIL.text, key=KEY.text)]


@pytest.mark.parametrize("credential", CREDENTIALS, ids=["token", "key"])
async def test_errors_of_the_api_show_no_secret(credential: Credential) -> None:
    login = TOKEN.text if credential.token else (EMAIL.text, KEY.text)
    account = Account(ACCOUNT_ID, "production", credential)
    answers = [
        envelope(login, status, code) for status in (200, 400) for code in (1234, 7001, 9109)
    ]
    answers += [page(login, status) for status in (200, 302, 404, 418, 502)]
    async with walking(3) as world:
        for answer in answers:
            world.api.outage = answer
            with pytest.raises(CloudflareError) as caught:
                await world.client.fetch_page(account, {"type": "all"}, Tally())
            assert leaked("".join(traceback.format_exception(caught.value)), SECRETS) == []
            assert leaked(f"{caught.value!r} {vars(caught.value)}", SECRETS) == []
        assert leaked(f"{account} {world.client!r} {vars(world.client)}", SECRETS) == []


async def test_the_parts_show_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        f"""
        [cloudflare]
        api_token = "{TOKEN.text}"
        [database]
        url = "postgresql://u@127.0.0.1:1/d"
        password = "{PASSWORD.text}"
        [[accounts]]
        id = "a"
        api_email = "{EMAIL.text}"
        api_key = "{KEY.text}"
        """
    )
    settings = load(file, environ={})
    client = open_client(settings)
    await client.close()
    database = Database(f"postgresql://u:{PASSWORD.text}@127.0.0.1:1/d", password=PASSWORD.text)
    shown = [settings, settings.database, settings.accounts, settings.read_accounts(), client]
    assert leaked(" ".join(f"{part!r} {part}" for part in (*shown, database)), SECRETS) == []
    with pytest.raises(DatabaseError) as caught:
        await database.connect()
    assert leaked("".join(traceback.format_exception(caught.value)), SECRETS) == []
