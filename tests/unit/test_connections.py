from __future__ import annotations

import errno
import socket
import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from syncer.cloudflare.connections import connection_failed

KEY = ConnectionKey(
    host="api.example.com",
    port=443,
    is_ssl=True,
    ssl=True,
    proxy=None,
    proxy_auth=None,
    proxy_headers_hash=None,
)
WRONG = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1002)")
WRONG.reason = "WRONG_VERSION_NUMBER"


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (
            aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(-2, "Name or service not known")),
            "its name cannot be resolved; see [cloudflare].base_url and the DNS of this host",
        ),
        (
            aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "Connect call failed")),
            "the connection is refused; see [cloudflare].base_url and the firewall of this host",
        ),
        (
            aiohttp.ClientConnectorSSLError(KEY, WRONG),
            "TLS failed (wrong version number); see [cloudflare].base_url, and who answers there",
        ),
        (
            aiohttp.ClientConnectorError(KEY, OSError(errno.ENETUNREACH, "Connect call failed")),
            "Network is unreachable; see the network of this host",
        ),
        (
            aiohttp.ClientConnectorError(KEY, OSError("Multiple exceptions: ...")),
            "OSError; see the network of this host",
        ),
    ],
)
def test_why_there_is_no_connection_is_told_with_where_to_look(
    error: aiohttp.ClientConnectorError, why: str
) -> None:
    assert str(connection_failed(error)) == f"cannot connect to api.example.com:443: {why}"


def test_a_connection_that_was_lost_is_named_by_its_kind() -> None:
    lost = aiohttp.ServerDisconnectedError("a text that may say anything")
    assert str(connection_failed(lost)) == "the connection failed (ServerDisconnectedError)"
