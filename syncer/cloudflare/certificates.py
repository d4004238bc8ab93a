"""Why the certificate of the API's server is refused, and what to do about it. Pure."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from syncer.certificates import why_unverified

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncer.certificates import Flaw

_ADVICE: Final[Mapping[Flaw, str]] = {
    "time": "see whether the clock of this host is right, and who answers in the API's place",
    "host": "see whether [cloudflare].base_url is right, and who answers in the API's place",
    "issuer": "if it is a proxy of your own, name its authority's file in [cloudflare].ca_file",
}


def why_distrusted(error: Exception) -> str:
    """Say it in one line; there is no option to skip the look."""
    message = "the API's certificate is not trusted"
    if not isinstance(error, ssl.SSLCertVerificationError):
        return message
    return f"{message}: {why_unverified(error, _ADVICE)}"
