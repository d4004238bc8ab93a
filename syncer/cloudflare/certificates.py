"""Why the certificate of the API's server is refused, and what to do about it. Pure."""

from __future__ import annotations

import ssl
from typing import Final

# OpenSSL's numbers: not yet valid, expired, another host's, another address'.
_WRONG_TIME: Final = frozenset({9, 10})
_WRONG_HOST: Final = frozenset({62, 64})


def why_distrusted(error: Exception) -> str:
    """Say it in one line; there is no option to skip the look."""
    message = "the API's certificate is not trusted"
    if not isinstance(error, ssl.SSLCertVerificationError):
        return message
    return f"{message}: {error.verify_message.rstrip('.')}; {_advice(error.verify_code)}"


def _advice(code: int) -> str:
    if code in _WRONG_TIME:
        return "see whether the clock of this host is right, and who answers in the API's place"
    if code in _WRONG_HOST:
        return "see whether [cloudflare].base_url is right, and who answers in the API's place"
    return "if it is a proxy of your own, name its authority's file in [cloudflare].ca_file"
