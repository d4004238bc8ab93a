"""Certificates that the client refuses, and what it says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trustme

from syncer.cloudflare.client import ClientSettings, CloudflareClient
from syncer.cloudflare.tally import Tally
from syncer.config import trusted_authorities
from syncer.errors import CertificateRejected
from tests.certificates import HOST, Authority, authority, tls_front
from tests.integration.walking import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

QUERY = {"type": "all", "page": "1", "per_page": "50"}


def self_signed(trusted: Authority) -> trustme.LeafCert:
    del trusted
    return trustme.CA().issue_cert(HOST)


@pytest.mark.parametrize(
    ("issue", "reason", "advice"),
    [
        (Authority.for_another_host, "Hostname mismatch, ", "[cloudflare].base_url is right"),
        (Authority.expired, "certificate has expired; ", "the clock of this host is right"),
        (self_signed, "", "name its authority's file in [cloudflare].ca_file"),
    ],
)
@pytest.mark.parametrize("host", [HOST, "127.0.0.1"])
async def test_a_certificate_that_is_not_for_here_and_now_is_refused(
    tmp_path: Path,
    issue: Callable[[Authority], trustme.LeafCert],
    reason: str,
    advice: str,
    host: str,
) -> None:
    trusted = authority(tmp_path)
    if host != HOST and issue is not self_signed:
        # By its address, a server is another host than by its name.
        reason, advice = "IP address mismatch, ", "[cloudflare].base_url is right"
        issue = Authority.for_host
    # Nobody is behind the front: a handshake is all that may happen.
    async with tls_front(issue(trusted), HOST, 1) as port:
        client = CloudflareClient(
            ClientSettings(
                base_url=f"https://{host}:{port}",
                user_agent="syncer/test",
                tls=trusted_authorities(trusted.file),
            )
        )
        tally = Tally()
        with pytest.raises(CertificateRejected) as caught:
            await client.fetch_page(ACCOUNT, QUERY, tally)
        await client.close()
    assert str(caught.value).startswith(f"the API's certificate is not trusted: {reason}")
    assert advice in str(caught.value)
    assert tally.requests == 1
