"""Which requests are made again, how long after, and what is said of that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import structlog

from syncer.errors import CloudflareError

if TYPE_CHECKING:
    from tenacity import Future, RetryCallState

    from syncer.cloudflare.tally import Tally
    from syncer.cloudflare.watch import Watch

log = structlog.get_logger()

BACKOFF_S: Final = 0.5
LONGEST_BACKOFF_S: Final = 30.0


def retry_delay_s(error: CloudflareError, *, attempt: int, jitter: float) -> float:
    """Seconds before the next attempt after the `attempt`-th (from 1); jitter is in [0, 1).

    Exponential backoff with full jitter, and never before a Retry-After has passed.
    """
    backoff_s = min(LONGEST_BACKOFF_S, BACKOFF_S * 2.0 ** (attempt - 1)) * jitter
    return max(backoff_s, error.retry_after_s or 0.0)


def is_retryable(error: BaseException) -> bool:
    """Whether the same request may fare better in a while."""
    return isinstance(error, CloudflareError) and error.retryable


def error_of(state: RetryCallState) -> CloudflareError:
    """Return the error of an attempt that is about to be repeated: only ours are."""
    return cast("CloudflareError", cast("Future", state.outcome).exception())


def announce_retry(state: RetryCallState, tally: Tally, watch: Watch) -> None:
    """Count an attempt that is about to be repeated, and say why it is."""
    error = error_of(state)
    watch.retry_scheduled(error.reason)
    tally.retries += 1
    log.warning(
        "request.retry_scheduled",
        attempt=state.attempt_number,
        delay_s=round(state.upcoming_sleep, 3),
        reason=error.reason,
        error=str(error),
        http_status=error.status,
        cf_ray=error.ray_id,
    )
