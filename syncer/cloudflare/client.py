"""The only place that speaks HTTP to Cloudflare: one page request, with its retries and budget."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import aiohttp
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from syncer.attempts import attempt
from syncer.cloudflare.account_list import ListedPage, decode_listed
from syncer.cloudflare.body import read_limited
from syncer.cloudflare.certificates import why_distrusted
from syncer.cloudflare.connections import connection_failed
from syncer.cloudflare.gates import Gate, Gates
from syncer.cloudflare.headers import rate_limits
from syncer.cloudflare.page_size import GrantedPageSize
from syncer.cloudflare.retries import (
    BACKOFF_S,
    announce_retry,
    error_of,
    is_retryable,
    retry_delay_s,
)
from syncer.cloudflare.slots import Slots
from syncer.cloudflare.throttle import Throttle
from syncer.cloudflare.watch import Unwatched, Watch
from syncer.cloudflare.wire import Page, decode_page
from syncer.digests import NOTHING_KNOWN, Known
from syncer.errors import (
    CertificateRejected,
    CloudflareError,
    RateLimited,
    Unavailable,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping

    from syncer.account import Account, Credential
    from syncer.cloudflare.tally import Tally

log = structlog.get_logger()

Answer = TypeVar("Answer")

INVOICE_HISTORY: Final = "/accounts/{account}/ai-gateway/billing/invoice-history"
ACCOUNTS: Final = "/accounts"
# Shorter waits for the budget are the ordinary pacing of a large sync, not news.
TELLING_WAIT_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """How to ask: times in seconds, the budget as requests in any `rate_per_s` seconds.

    `tls` says whom to trust; None: the system's authorities.
    """

    base_url: str
    user_agent: str
    concurrent_requests: int = 8
    concurrent_accounts: int = 8
    request_timeout_s: float = 30.0
    rate_requests: int = 1000
    rate_per_s: float = 300.0
    max_attempts: int = 5
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question(Generic[Answer]):
    """What to ask, in whose name, and how to read what comes."""

    sharer: str
    path: str
    credential: Credential
    query: Mapping[str, str]
    decode: Callable[[int, Mapping[str, str], bytes], Answer]


class CloudflareClient:
    """Fetches pages over one HTTP session; the budgets outlive a run, as the API's own count does.

    `clock` is monotonic in seconds, `sleep` waits for seconds, `jitter` draws from [0, 1).
    """

    def __init__(
        self,
        settings: ClientSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        watch: Watch | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._watch = watch or Unwatched()
        self._gates = Gates(self._new_throttle)
        self.slots = Slots(settings.concurrent_requests, settings.concurrent_accounts)
        self.granted = GrantedPageSize(clock)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=settings.concurrent_requests, ssl=settings.tls or True
            ),
            timeout=aiohttp.ClientTimeout(total=settings.request_timeout_s),
            headers={"Accept": "application/json", "User-Agent": settings.user_agent},
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_send_once,),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    def inherit_budgets(self, former: CloudflareClient) -> None:
        """Count what another client has sent, as the API does; it must send no more."""
        self._gates.inherit(former._gates)

    async def fetch_page(
        self,
        account: Account,
        query: Mapping[str, str],
        tally: Tally,
        known: Known = NOTHING_KNOWN,
    ) -> Page:
        """Fetch one page of the account's invoice history; what is `known` is not decoded again.

        Retries what is worth retrying, waits for the credential's budget, and raises the last
        `CloudflareError` when neither helps.
        """
        secrets = account.credential.secrets()
        question = _Question(
            sharer=account.id,
            path=INVOICE_HISTORY.format(account=account.id),
            credential=account.credential,
            query=query,
            decode=lambda status, headers, body: decode_page(
                status, headers, body, known=known, secrets=secrets
            ),
        )
        return await self._ask(question, tally)

    async def fetch_accounts(
        self, label: str, credential: Credential, query: Mapping[str, str], tally: Tally
    ) -> ListedPage:
        """Fetch one page of the accounts that a credential reaches, in the same way.

        `label` is what it shares the places for requests by, beside the ids of accounts.
        """
        secrets = credential.secrets()
        question = _Question(
            sharer=label,
            path=ACCOUNTS,
            credential=credential,
            query=query,
            decode=lambda status, headers, body: decode_listed(
                status, headers, body, secrets=secrets
            ),
        )
        return await self._ask(question, tally)

    async def _ask(self, question: _Question[Answer], tally: Tally) -> Answer:
        return await attempt(lambda: self._attempt(question, tally), lambda: self._retrying(tally))

    def _retrying(self, tally: Tally) -> AsyncRetrying:
        return AsyncRetrying(
            stop=stop_after_attempt(self._settings.max_attempts),
            retry=retry_if_exception(is_retryable),
            wait=self._wait_s,
            sleep=self._sleep,
            before_sleep=lambda state: announce_retry(state, tally, self._watch),
            reraise=True,
        )

    async def _attempt(self, question: _Question[Answer], tally: Tally) -> Answer:
        # Without a number, in the end, it is the first page that is asked for.
        number = question.query.get("page", "1")
        with self._gates.of(question.credential) as gate:
            await self._admit(question.sharer, gate)
            tally.requests += 1
            status = None
            try:
                answer = await self._send(question, gate.throttle)
            except CloudflareError as error:
                status = error.status
                tally.errors.pop(number, None)
                tally.errors[number] = error
                if isinstance(error, RateLimited):
                    # The block is the credential's: none of its requests would fare better.
                    gate.throttle.close_for(error.retry_after_s or BACKOFF_S)
                raise
            else:
                status = HTTPStatus.OK
                tally.errors.pop(number, None)
                return answer
            finally:
                self._watch.request_ended(status)
                self.slots.release(question.sharer)

    def _new_throttle(self) -> Throttle:
        return Throttle(
            requests=self._settings.rate_requests,
            per_s=self._settings.rate_per_s,
            in_flight=self._settings.concurrent_requests,
            clock=self._clock,
        )

    async def _admit(self, account_id: str, gate: Gate) -> None:
        """Return with a slot taken and the request counted, ready to be sent at once.

        Nobody waits for the budget with a slot in hand, or a throttled credential would stop all
        the others; and a request is counted when it is sent, or the log of them would be wrong.
        """
        while True:
            await self.slots.acquire(account_id)
            wait_s = gate.throttle.admit()
            if not wait_s:
                return
            self.slots.release(account_id)
            if wait_s >= TELLING_WAIT_S and not gate.waiting:
                log.warning("rate_limit.waiting", wait_s=round(wait_s, 3))
            began = self._clock()
            gate.waiting += 1
            try:
                await self._sleep(wait_s)
            finally:
                gate.waiting -= 1
                # A stop or a deadline may have cut it short.
                self._watch.throttled(self._clock() - began)

    async def _send(self, question: _Question[Answer], throttle: Throttle) -> Answer:
        try:
            async with self._session.get(
                self._settings.base_url + question.path,
                params=question.query,
                headers=question.credential.headers(),
                # A redirect to another host would take X-Auth-Key along.
                allow_redirects=False,
            ) as response:
                throttle.observe(rate_limits(response.headers))
                body = await read_limited(response, question.credential.secrets())
        except aiohttp.ClientConnectorCertificateError as error:
            raise CertificateRejected(why_distrusted(error.certificate_error)) from error
        except TimeoutError as error:
            timeout_s = self._settings.request_timeout_s
            raise Unavailable(f"no complete answer within {timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            raise connection_failed(error) from error
        return question.decode(response.status, response.headers, body)

    def _wait_s(self, state: RetryCallState) -> float:
        return retry_delay_s(error_of(state), attempt=state.attempt_number, jitter=self._jitter())


async def _send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Stop aiohttp from sending a GET again by itself when a kept connection turns out closed.

    That request would be neither in the budget nor in the counts. These are the errors after which
    it would, but for those of connecting, before which nothing was sent.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise connection_failed(error) from error
