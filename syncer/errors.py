"""The exception tree and the stable words for why a sync was not complete.

An error's text is one line that a person can act on. It never holds a token, a password, a
connection string with a password, a response body or a PDF link, so it may be logged and stored.
"""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class Reason(StrEnum):
    """Why an account's sync was skipped, failed or could not prove that it saw everything."""

    PAGINATION_NOT_HONOURED = "pagination_not_honoured"
    PAGE_LIMIT = "page_limit"
    FEWER_THAN_REPORTED = "fewer_than_reported"
    MALFORMED_RESPONSE = "malformed_response"
    ACCESS_DENIED = "access_denied"
    NOT_FOUND = "not_found"
    REQUEST_REJECTED = "request_rejected"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    LOCKED = "locked"
    FRESH = "fresh"
    MASS_DISAPPEARANCE = "mass_disappearance"
    INTERRUPTED = "interrupted"
    STORAGE = "storage"


def plain_reason(error: OSError) -> str | None:
    """Say what the system says, without the address that Python's own text repeats; or None."""
    number = error.errno or 0
    return os.strerror(number) if number > 0 else None


class SyncerError(Exception):
    """What a user, a remote service or a host can cause; anything else is a defect of ours."""


class ConfigurationError(SyncerError):
    """The configuration or the command line is unusable; each finding is one line."""

    def __init__(self, findings: Sequence[str]) -> None:
        super().__init__("\n".join(findings))
        self.findings = tuple(findings)


class EmbeddedPostgresError(SyncerError):
    """The embedded PostgreSQL is not installed, or would not start."""


class CloudflareError(SyncerError):
    """An answer, or the lack of one, that yields no page."""

    reason: ClassVar[Reason]
    retryable: ClassVar[bool]

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        codes: Sequence[int] = (),
        ray_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        """Take a safe message, the HTTP status, the envelope's codes and the CF-Ray header."""
        super().__init__(message)
        self.status = status
        self.codes = tuple(codes)
        self.ray_id = ray_id
        self.retry_after_s = retry_after_s


class AccessDenied(CloudflareError):
    """The credential is wrong, malformed, or lacks the permission."""

    reason = Reason.ACCESS_DENIED
    retryable = False


class AccountNotFound(CloudflareError):
    """The API knows no such account."""

    reason = Reason.NOT_FOUND
    retryable = False


class RequestRejected(CloudflareError):
    """The API understood the credential and refuses the request itself."""

    reason = Reason.REQUEST_REJECTED
    retryable = False


class ParameterRefused(RequestRejected):
    """The API refuses a query parameter: worth asking again with fewer of them."""


class RateLimited(CloudflareError):
    """The credential has spent its budget; all its requests have to wait."""

    reason = Reason.RATE_LIMITED
    retryable = True


class Unavailable(CloudflareError):
    """The API, the edge or the network failed for now."""

    reason = Reason.UNAVAILABLE
    retryable = True


class CertificateRejected(Unavailable):
    """The peer's certificate is not trusted, which no retry mends."""

    retryable = False


class MalformedResponse(CloudflareError):
    """The answer is not what the API documents; absence is never read as "no invoices"."""

    reason = Reason.MALFORMED_RESPONSE
    retryable = True


class DatabaseError(SyncerError):
    """The database refused or failed a statement; nothing of its transaction was kept."""


class DatabaseUnreachable(DatabaseError):
    """No connection could be made, or it was lost."""


class DatabaseBusy(DatabaseError):
    """Another session stood in the way; the same transaction may well succeed a little later."""


class SchemaMismatch(DatabaseError):
    """The schema is not at the revision that this version needs."""


class Superseded(DatabaseError):
    """Another process stored a walk of this account that began later than ours."""


class RowsChanged(DatabaseError):
    """Somebody else changed the account's rows since it was known what is in them."""
