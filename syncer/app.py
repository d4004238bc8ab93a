"""The composition root: builds the parts from the configuration, and closes them."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import structlog

from syncer import __version__
from syncer.cloudflare.client import ClientSettings, CloudflareClient
from syncer.cloudflare.walk import WalkSettings
from syncer.config import trusted_authorities
from syncer.demo.postgres import EmbeddedPostgres
from syncer.errors import ConfigurationError, SchemaMismatch, SyncerError
from syncer.shutdown import Shutdown
from syncer.store.engine import Database
from syncer.store.migrate import SchemaState, require_head, upgrade
from syncer.sync.account import AccountSettings
from syncer.sync.roster import Roster
from syncer.sync.run import Runner, RunSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Sequence

    from syncer.account import Account, Discovery
    from syncer.cloudflare.watch import Watch
    from syncer.config import AccountSettings as ConfiguredAccount
    from syncer.config import Settings
    from syncer.stop import Stop
    from syncer.sync.observer import Observer
    from syncer.sync.roster import Called

log = structlog.get_logger()

Result = TypeVar("Result")

USER_AGENT = f"syncer/{__version__}"


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """Give the configured database, or an embedded PostgreSQL where none is configured.

    Raises `EmbeddedPostgresError` and `ConfigurationError`; connecting happens on first use.
    """
    async with AsyncExitStack() as stack:
        dsn = settings.database.url
        password = settings.read_database_password()
        if dsn is None:
            server = EmbeddedPostgres(settings.database.data_dir)
            dsn = await _start(server)
            stack.push_async_callback(asyncio.to_thread, server.__exit__, None, None, None)
        database = Database(
            dsn,
            # Asked at each connection, so that a rotated one is seen.
            password=None if password is None else settings.read_database_password,
            schema=settings.database.schema_,
        )
        stack.push_async_callback(database.close)
        yield database


async def _start(server: EmbeddedPostgres) -> str:
    """Start the server in a thread, which cannot be interrupted: a cancellation stops it after."""
    starting = asyncio.ensure_future(asyncio.to_thread(server.__enter__))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait([starting])
        if starting.exception() is None:
            await asyncio.to_thread(server.__exit__, None, None, None)
        raise


def require_existing(settings: Settings) -> None:
    """Raise `SchemaMismatch` where opening the embedded database would have to make it first."""
    if not database_exists(settings):
        raise SchemaMismatch(
            f"there is no embedded database in {settings.database.data_dir} yet:"
            " run `syncer migrate`, or sync"
        )


def database_exists(settings: Settings) -> bool:
    """Whether there is something to look at without making it first."""
    return settings.database.url is not None or EmbeddedPostgres.exists(settings.database.data_dir)


@dataclass(slots=True)
class App:
    """The parts that a sync needs, open; those that follow the configuration may be renewed."""

    settings: Settings
    database: Database
    client: CloudflareClient
    runner: Runner
    observer: Observer
    watch: Watch | None
    roster: Roster = field(default_factory=Roster)

    @property
    def accounts(self) -> tuple[Account, ...] | tuple[ConfiguredAccount, ...]:
        """Who is known by now: those of the last call, before it the configured ones."""
        return self.roster.accounts or self.settings.accounts

    async def call_accounts(self, stop: Stop) -> Called:
        """Find out who is to be walked, with every credential as it is now."""
        return await self.roster.call(
            self.client,
            self.settings.read_accounts(),
            self.settings.read_discoveries(),
            timeout_s=self.settings.sync.account_timeout.total_seconds(),
            stop=stop,
        )

    async def renew(self, settings: Settings) -> None:
        """Go on with another configuration, in the same database; only between two runs.

        What was spent of the credentials' budgets stays spent. Raises `ConfigurationError`.
        """
        former, client = self.client, open_client(settings, self.watch)
        client.inherit_budgets(former)
        self.settings, self.client = settings, client
        self.runner = _new_runner(settings, client, self.database, self.observer)
        await former.close()

    async def close_client(self) -> None:
        """Close every connection to the API."""
        await self.client.close()


@asynccontextmanager
async def open_app(
    settings: Settings, observer: Observer, watch: Watch | None = None
) -> AsyncIterator[App]:
    """Open database and HTTP session, and bring the schema to where it has to be."""
    async with AsyncExitStack() as stack:
        # First what a mistake in the configuration can make impossible.
        client = open_client(settings, watch)
        stack.push_async_callback(client.close)
        database = await stack.enter_async_context(open_database(settings))
        await prepare_schema(database, auto_migrate=settings.database.auto_migrate)
        runner = _new_runner(settings, client, database, observer)
        app = App(settings, database, client, runner, observer, watch)
        # By then it may be another one, and closing one twice does nothing.
        stack.push_async_callback(app.close_client)
        yield app


def _new_runner(
    settings: Settings, client: CloudflareClient, database: Database, observer: Observer
) -> Runner:
    return Runner(
        client=client, database=database, settings=_run_settings(settings), observer=observer
    )


def open_client(settings: Settings, watch: Watch | None = None) -> CloudflareClient:
    """Open the HTTP session; the caller closes it. Raises `ConfigurationError`."""
    cloudflare = settings.cloudflare
    return CloudflareClient(
        ClientSettings(
            base_url=cloudflare.base_url,
            user_agent=USER_AGENT,
            concurrent_requests=cloudflare.concurrent_requests,
            concurrent_accounts=settings.sync.concurrent_accounts,
            request_timeout_s=cloudflare.request_timeout.total_seconds(),
            rate_requests=cloudflare.rate_limit.requests,
            rate_per_s=cloudflare.rate_limit.per.total_seconds(),
            max_attempts=cloudflare.max_attempts,
            tls=trusted_authorities(cloudflare.ca_file),
        ),
        watch=watch,
    )


def _run_settings(settings: Settings) -> RunSettings:
    return RunSettings(
        account=AccountSettings(
            walk=walk_settings(settings),
            account_timeout_s=settings.sync.account_timeout.total_seconds(),
            full_compare_every=settings.sync.full_compare_every,
            stale_after=settings.health.max_age,
        ),
        concurrent_accounts=settings.sync.concurrent_accounts,
        version=__version__,
        host=socket.gethostname(),
    )


def walk_settings(settings: Settings) -> WalkSettings:
    """Take from the configuration what a walk needs."""
    return WalkSettings(
        invoice_type=settings.sync.invoice_type,
        per_page=settings.cloudflare.per_page,
        max_pages=settings.sync.max_pages,
        concurrency=settings.cloudflare.concurrent_requests,
    )


async def prepare_schema(database: Database, *, auto_migrate: bool) -> None:
    """Bring the schema to head where that is allowed, otherwise refuse unless it is there."""
    if auto_migrate:
        await migrate(database)
    else:
        await require_head(database)


async def migrate(database: Database) -> tuple[SchemaState, SchemaState]:
    """Bring the schema to head; the states before and after."""
    before, after = await upgrade(database)
    if before != after:
        log.info("schema.migrated", before=before.current, after=after.current)
    return before, after


def require_credentials(those: Sequence[Account | Discovery]) -> None:
    """Raise `ConfigurationError` with every reason why a credential cannot be read."""
    problems = {one.problem: None for one in those if one.problem}
    if problems:
        raise ConfigurationError(tuple(problems))


async def interruptible(work: Awaitable[Result]) -> Result:
    """Await work that SIGTERM and SIGINT end at once, after it has cleaned up."""
    shutdown = Shutdown(lambda _name: None)
    with shutdown.on_signals():
        try:
            async with asyncio.timeout(None) as deadline:
                with shutdown.soft.cutting(deadline):
                    return await work
        except TimeoutError:
            raise SyncerError("interrupted") from None
