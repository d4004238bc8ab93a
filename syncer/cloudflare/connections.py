"""Why a connection to the API could not be made or was lost, and where to look for it. Pure."""

from __future__ import annotations

import ssl

import aiohttp

from syncer.errors import Unavailable, plain_reason


def connection_failed(error: BaseException) -> Unavailable:
    """Name an error of the network, whose text may hold an address but no more."""
    if isinstance(error, aiohttp.ClientConnectorError):
        place = f"{error.host}:{error.port}"
        return Unavailable(f"cannot connect to {place}: {_why_not_made(error)}")
    cause = error.__cause__ or error.__context__
    name = type(error).__name__ + (f": {type(cause).__name__}" if cause is not None else "")
    return Unavailable(f"the connection failed ({name})")


def _why_not_made(error: aiohttp.ClientConnectorError) -> str:
    cause = error.os_error
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name cannot be resolved; see [cloudflare].base_url and the DNS of this host"
    if isinstance(cause, ConnectionRefusedError):
        return "the connection is refused; see [cloudflare].base_url and the firewall of this host"
    if isinstance(cause, ssl.SSLError):
        found = (cause.reason or "no reason given").lower().replace("_", " ")
        return f"TLS failed ({found}); see [cloudflare].base_url, and who answers there"
    return f"{plain_reason(cause) or type(cause).__name__}; see the network of this host"
