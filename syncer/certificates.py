"""What OpenSSL finds wrong with the certificate of a server, in one line. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

Flaw = Literal["time", "host", "issuer"]

# OpenSSL's numbers: not yet valid, expired, another host's, another address'.
_FLAWS: Final[Mapping[int, Flaw]] = {9: "time", 10: "time", 62: "host", 64: "host"}


def why_unverified(error: ssl.SSLCertVerificationError, advice: Mapping[Flaw, str]) -> str:
    """Say what was found, and the advice for it; whatever has no other name is the issuer's."""
    found = error.verify_message.rstrip(".")
    return f"{found}; {advice[_FLAWS.get(error.verify_code, 'issuer')]}"
