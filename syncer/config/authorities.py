"""Who may vouch for the API's server: the system's authorities, and the file's beside them."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from syncer.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


def trusted_authorities(ca_file: Path | None) -> ssl.SSLContext:
    """Trust the system's authorities (OpenSSL's, or SSL_CERT_FILE's), and those in `ca_file` too.

    Certificate and host name are always verified. Raises ConfigurationError.
    """
    context = ssl.create_default_context()
    # As the client itself asks for where nobody brings a context.
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        place = f"cloudflare.ca_file: {ca_file}"
        try:
            context.load_verify_locations(cafile=ca_file)
        except ssl.SSLError:  # its text names a line of OpenSSL's source
            reason = "holds no certificates that can be read; write them as PEM"
            raise ConfigurationError([f"{place} {reason}"]) from None
        except OSError as error:
            raise ConfigurationError([f"{place} cannot be read: {error.strerror}"]) from None
    return context
