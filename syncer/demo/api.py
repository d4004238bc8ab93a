"""A simulated Cloudflare API on a real socket, as strict and as nasty as the real one.

Only `GET /client/v4/accounts/{account_id}/ai-gateway/billing/invoice-history` and
`GET /client/v4/accounts` exist (documented).
"""

from __future__ import annotations

import asyncio
import inspect
import re
import socket
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, Self

from aiohttp import web

from syncer.demo.account import SeenRequest
from syncer.demo.answers import (
    Reply,
    Settings,
    invoice_page,
    no_route,
    read_query,
    throttled,
    unknown_account,
    wrong_method,
)
from syncer.demo.budget import Budget
from syncer.demo.delivery import compose, deliver
from syncer.demo.faults import Throttled
from syncer.demo.listing import Listing, account_page
from syncer.demo.logins import read_login, refusal_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from syncer.demo.account import Login, SimulatedAccount
    from syncer.demo.delivery import SentResponse
    from syncer.demo.faults import Fault
    from syncer.demo.logins import Presented

PREFIX: Final = "/client/v4"
_ACCOUNTS: Final = "/accounts"
DEFAULTS: Final = Settings()
_ROUTE: Final = re.compile(r"/accounts/([^/]+)/ai-gateway/billing/invoice-history")
_ACCOUNT_ID: Final = re.compile(r"[0-9a-f]{32}")
# What still runs when the server closes is cut short: a hanging answer would hang for ever.
_SHUTDOWN_S: Final = 0.01


class SimulatedApi:
    """The API's server: `async with SimulatedApi(accounts) as api: api.base_url`.

    `accounts` (by id), `settings`, `listing` and `outage` (a fault for every request) may be
    changed at any time; `requests` and `max_in_flight` say what was on the wire, and
    `flooded_bytes` how much of each `Flood` was taken. `on_response` is called with every answer
    before it is sent. What a script or the observer raises is answered with 500 and raised again
    when the server closes: a broken script must not pass for a broken API.
    """

    def __init__(
        self,
        accounts: Iterable[SimulatedAccount] = (),
        *,
        settings: Settings = DEFAULTS,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
        on_response: Callable[[SeenRequest, SentResponse], None] | None = None,
    ) -> None:
        self.accounts = {account.id: account for account in accounts}
        self.settings = settings
        self.listing = Listing()
        self.outage: Fault | None = None
        self.requests: list[SeenRequest] = []
        self.max_in_flight = 0
        self.flooded_bytes: list[int] = []
        self._in_flight = 0
        self._host, self._port = host, port
        self._clock = clock
        self._on_response = on_response
        self._budgets: dict[str, Budget] = {}
        self._requests_of: Counter[str] = Counter()
        self._arrival = asyncio.Condition()
        self._answering: set[web.RequestHandler] = set()
        self._failures: list[Exception] = []
        self._site: web.TCPSite | None = None
        self._held: socket.socket | None = None
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S
        )

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await self._listen()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()
        self._let_go()
        if self._failures and exc is None:
            raise ExceptionGroup("the simulated API's script or observer failed", self._failures)

    @property
    def base_url(self) -> str:
        """`http://HOST:PORT/client/v4`, once the server runs."""
        return f"http://{self._host}:{self._port}{PREFIX}"

    async def refuse_connections(self) -> None:
        """Refuse new connections, and end those that are open: idle ones now, others once answered.

        The port stays ours, so that nobody else listens there meanwhile.
        """
        if self._site is None:
            return
        await self._site.stop()
        self._site = None
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.bind((self._host, self._port))
        for connection in self._runner.server.connections if self._runner.server else ():
            if connection in self._answering:
                connection.close()
            else:
                connection.force_close()

    async def accept_connections(self) -> None:
        """Listen again, at the same port."""
        if self._site is None:
            self._let_go()
            await self._listen()

    async def _listen(self) -> None:
        self._site = web.TCPSite(self._runner, self._host, self._port)
        await self._site.start()
        self._host, self._port = self._runner.addresses[0][:2]

    def _let_go(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    async def wait_for_requests(self, count: int, *, account_id: str | None = None) -> None:
        """Return once this many requests (of that account) have arrived since the start."""

        def arrived() -> int:
            return len(self.requests) if account_id is None else self._requests_of[account_id]

        async with self._arrival:
            await self._arrival.wait_for(lambda: arrived() >= count)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self._in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self._in_flight)
        self._answering.add(request.protocol)
        try:
            sent = await self._answer(request)
            response = await deliver(request, sent, self.flooded_bytes.append)
            if self._site is None:
                # Said to the client as well, which would use the connection again otherwise.
                response.force_close()
            return response
        finally:
            self._in_flight -= 1
            self._answering.discard(request.protocol)

    async def _answer(self, request: web.Request) -> SentResponse:
        presented = read_login(request.headers)
        seen = self._record(request, presented)
        async with self._arrival:
            self._arrival.notify_all()
        budget = self._budgets.setdefault(presented.label, Budget(self.settings.limits, seen.at))
        blocked_s = budget.spend(seen.at)
        try:
            fault = self.outage or await self._scripted_fault(seen)
            reply = self._reply(seen, presented, fault, blocked_s)
            common_headers = budget.headers(seen.at) | {
                "CF-Ray": seen.ray_id,
                "Server": "cloudflare",
            }
            sent = compose(reply, fault, common_headers, seen.accept)
            if self._on_response is not None:
                self._on_response(seen, sent)
        except Exception as error:
            self._failures.append(error)
            raise
        return sent

    def _record(self, request: web.Request, presented: Presented) -> SeenRequest:
        matched = _ROUTE.fullmatch(request.path.removeprefix(PREFIX))
        account_id = matched[1] if matched and request.path.startswith(PREFIX) else ""
        self._requests_of[account_id] += 1
        seen = SeenRequest(
            nth=self._requests_of[account_id],
            method=request.method,
            path=request.path,
            account_id=account_id,
            query=dict(request.query),
            credential=presented.label,
            user_agent=request.headers.get("User-Agent", ""),
            accept=request.headers.get("Accept", ""),
            at=self._clock(),
            in_flight=self._in_flight,
            ray_id=f"{len(self.requests) + 1:016x}-SIM",
        )
        self.requests.append(seen)
        return seen

    async def _scripted_fault(self, seen: SeenRequest) -> Fault | None:
        place: SimulatedAccount | Listing | None = self.accounts.get(seen.account_id)
        if seen.path == PREFIX + _ACCOUNTS:
            place = self.listing
        if place is None or place.script is None:
            return None
        fault = place.script(seen.nth, seen)
        return await fault if inspect.isawaitable(fault) else fault

    def _reply(
        self, seen: SeenRequest, presented: Presented, fault: Fault | None, blocked_s: int | None
    ) -> Reply:
        wait_s = fault.retry_after_s if isinstance(fault, Throttled) else blocked_s
        if wait_s is not None:
            return throttled(self.settings.throttle_code, wait_s)
        listed = seen.path == PREFIX + _ACCOUNTS
        if not seen.account_id and not listed:
            return no_route(seen.path.removeprefix(PREFIX), status=404)
        if seen.method != "GET":
            return wrong_method(seen.method)
        if isinstance(presented.login, Reply):
            return presented.login
        if listed:
            return self._list(seen, presented.login)
        return self._denial(seen, presented.login) or self._invoices(seen)

    def _list(self, seen: SeenRequest, login: Login) -> Reply:
        accounts = self.accounts.values()
        status = self.settings.unknown_token_status
        if login not in self.listing.powerless | self.listing.owned_tokens:
            refusal = refusal_of(login, None, accounts, unknown_token_status=status)
            if refusal is not None:
                return refusal
        return account_page(login, accounts, seen.query, self.listing)

    def _denial(self, seen: SeenRequest, login: Login) -> Reply | None:
        account = self.accounts.get(seen.account_id)
        refusal = refusal_of(
            login,
            account,
            self.accounts.values(),
            unknown_token_status=self.settings.unknown_token_status,
        )
        if refusal is not None or account is not None:
            return refusal
        path = seen.path.removeprefix(PREFIX)
        if _ACCOUNT_ID.fullmatch(seen.account_id):
            return unknown_account(path)
        return no_route(path, status=400)

    def _invoices(self, seen: SeenRequest) -> Reply:
        query = read_query(seen.query, self.settings)
        if isinstance(query, Reply):
            return query
        invoices = self.accounts[seen.account_id].invoices
        return invoice_page(invoices, query, self.settings, issue=seen.nth)
