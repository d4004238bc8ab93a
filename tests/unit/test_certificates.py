"""What is wrong with a certificate, by OpenSSL's number, and the advice that goes with it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from syncer.certificates import why_unverified
from syncer.cloudflare.certificates import why_distrusted
from syncer.store.encryption import why_not_encrypted

if TYPE_CHECKING:
    from syncer.certificates import Flaw

# X509_V_ERR_... of OpenSSL's x509_vfy.h.
NUMBERS: dict[int, Flaw] = {
    9: "time",  # CERT_NOT_YET_VALID
    10: "time",  # CERT_HAS_EXPIRED
    18: "issuer",  # DEPTH_ZERO_SELF_SIGNED_CERT
    19: "issuer",  # SELF_SIGNED_CERT_IN_CHAIN
    20: "issuer",  # UNABLE_TO_GET_ISSUER_CERT_LOCALLY
    62: "host",  # HOSTNAME_MISMATCH
    64: "host",  # IP_ADDRESS_MISMATCH
}


def refused(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = code, "so it is."
    return error


@pytest.mark.parametrize(("code", "flaw"), NUMBERS.items())
def test_the_advice_is_that_for_the_number(code: int, flaw: Flaw) -> None:
    advice: dict[Flaw, str] = {"time": "time", "host": "host", "issuer": "issuer"}
    assert why_unverified(refused(code), advice) == f"so it is; {flaw}"


@pytest.mark.parametrize("code", NUMBERS)
def test_both_adapters_say_what_was_found(code: int) -> None:
    assert why_distrusted(refused(code)).startswith(
        "the API's certificate is not trusted: so it is; "
    )
    assert str(why_not_encrypted(refused(code), "postgresql://h/d")).startswith(
        "its certificate is not trusted: so it is; "
    )
