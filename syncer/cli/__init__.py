"""The command line: arguments in, exit code out.

Exit codes: 0 done, and every account complete or in another process' hands; 1 at least one account
failed or is incomplete; 2 bad usage or configuration; 3 the database cannot be reached, or its
schema is not at the revision that this version needs.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from signal import SIG_IGN, SIGHUP, signal
from typing import TYPE_CHECKING, Annotated, Final, NoReturn, TypeVar

import typer

from syncer import __version__
from syncer.cli.codes import EXIT_DATABASE, EXIT_INCOMPLETE, EXIT_USAGE
from syncer.cli.output import Output
from syncer.errors import ConfigurationError, DatabaseError, EmbeddedPostgresError, SyncerError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from syncer.config import Settings

Result = TypeVar("Result")

_TYPER_INTERRUPTED: Final = 130

app = typer.Typer(
    name="syncer",
    help="Keeps the AI Gateway invoices of many Cloudflare accounts in one PostgreSQL database.",
    epilog="Exit codes: 0 done, every account complete; 1 an account failed or is incomplete;"
    " 2 bad usage or configuration; 3 database unreachable, or its schema at another revision.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigPath = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="PATH",
        help="Configuration file; else $SYNCER_CONFIG, else ./config.toml where it exists.",
    ),
]


def main() -> None:
    """Run the command line; every error that a user can cause is one line on standard error."""
    # What is imported stays, and looking for garbage in it takes as long as the imports themselves.
    gc.disable()
    output = Output(sys.stdout)
    sys.stdout = output.as_text(sys.stdout)
    sys.stderr = Output(sys.stderr).as_text(sys.stderr)
    code: str | int | None = 0
    try:
        _run_command()
    except SystemExit as ended:
        code = ended.code
    if code == _TYPER_INTERRUPTED:
        _fail(["interrupted"], EXIT_INCOMPLETE)
    sys.stdout.flush()
    # A reader that has seen enough, such as `head`, is no failure.
    if output.failure is not None and not isinstance(output.failure, BrokenPipeError):
        _fail([f"cannot write the result: {output.failure.strerror}"], EXIT_INCOMPLETE)
    raise SystemExit(code)


def _run_command() -> None:
    try:
        app()
    except ConfigurationError as error:
        _fail(error.findings, EXIT_USAGE)
    except (DatabaseError, EmbeddedPostgresError) as error:
        _fail([str(error)], EXIT_DATABASE)
    except SyncerError as error:
        _fail([str(error)], EXIT_INCOMPLETE)


def _fail(lines: tuple[str, ...] | list[str], code: int) -> NoReturn:
    for line in lines:
        sys.stderr.write(f"syncer: {line}\n")
    raise SystemExit(code)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"syncer {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: ConfigPath = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Take the options that may stand before a command."""
    context.obj = config


def _settings(
    context: typer.Context, config: Path | None, *, needs_accounts: bool = True
) -> Settings:
    from syncer.config import load

    return load(config or context.obj, needs_accounts=needs_accounts)


def _configure_logs(settings: Settings) -> None:
    from syncer import logs

    logs.configure(format=settings.log.format, level=settings.log.level)


def _warn(settings: Settings) -> None:
    from structlog import get_logger

    for finding in settings.warnings:
        get_logger().warning("configuration.unwise", finding=finding)


def _carry_out(work: Coroutine[None, None, Result]) -> Result:
    """Run what has been imported and made ready, which no collection looks at from now on."""
    from asyncio import run

    gc.freeze()
    gc.enable()
    return run(work)


@app.command()
def run(context: typer.Context, config: ConfigPath = None) -> None:
    """Be the daemon: sync on schedule until SIGTERM or SIGINT, then store what is under way.

    SIGHUP makes it read the configuration again, which holds from the next run on.

    Migrates the schema first, or (with database.auto_migrate = false) refuses to start unless it
    is at the right revision.
    """
    # It would end the process before anybody listens to it.
    signal(SIGHUP, SIG_IGN)
    settings = _settings(context, config)
    _configure_logs(settings)
    _warn(settings)
    from syncer.service import serve

    _carry_out(serve(settings, lambda: _settings(context, config)))


@app.command()
def sync(
    context: typer.Context,
    account: Annotated[
        list[str] | None,
        typer.Option(metavar="ID_OR_NAME", help="Only this account; may be given several times."),
    ] = None,
    config: ConfigPath = None,
) -> None:
    """Make one pass over the accounts, and exit.

    An account that another process is syncing at the moment is left to it.
    """
    settings = _settings(context, config)
    _configure_logs(settings)
    _warn(settings)
    from syncer.cli.screen import print_records, watching
    from syncer.once import sync_once

    with watching(settings.log.format) as observer:
        result = _carry_out(sync_once(settings, account or [], observer))
    print_records(result.records)
    if not result.well:
        raise typer.Exit(EXIT_INCOMPLETE)


@app.command()
def migrate(
    context: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; only say whether it is at head.")
    ] = False,
    config: ConfigPath = None,
) -> None:
    """Bring the database's schema to the revision that this version needs.

    Needs the database alone, no account and no token. Several processes may do so at once: they
    take turns.
    """
    settings = _settings(context, config, needs_accounts=False)
    if settings.database.url is None and not (settings.accounts or settings.discover):
        # Where nothing at all is configured, an embedded database is not what was meant.
        from syncer.config.rules import NO_ACCOUNTS

        raise ConfigurationError([NO_ACCOUNTS])
    _configure_logs(settings)
    from syncer.app import interruptible
    from syncer.cli.schema import check_schema, migrate_schema

    _carry_out(interruptible(check_schema(settings) if check else migrate_schema(settings)))


@app.command()
def check(context: typer.Context, config: ConfigPath = None) -> None:
    """Try configuration, database, schema and every credential, and say what to do.

    Asks the real API for one page of each account, and writes nothing.
    """
    settings = _settings(context, config)
    _configure_logs(settings)
    from syncer.app import interruptible
    from syncer.cli.checkup import check_everything

    code = _carry_out(interruptible(check_everything(settings)))
    if code:
        raise typer.Exit(code)


@app.command()
def status(
    context: typer.Context,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of a table.")
    ] = False,
    config: ConfigPath = None,
) -> None:
    """Show each account's last run, freshness, counts and last error, from the database."""
    settings = _settings(context, config)
    _configure_logs(settings)
    from syncer.app import interruptible
    from syncer.cli.status import show_status

    _carry_out(interruptible(show_status(settings, as_json=as_json)))


@app.command()
def report(
    context: typer.Context,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to; - is standard output.")
    ] = "syncer-report.html",
    config: ConfigPath = None,
) -> None:
    """Write one HTML file with charts and tables of what is owed, was paid, and how complete it is.

    Needs the database alone, no account and no token; the file loads nothing from anywhere.
    """
    settings = _settings(context, config, needs_accounts=False)
    _configure_logs(settings)
    from syncer.app import interruptible
    from syncer.cli.report import write_report

    _carry_out(interruptible(write_report(settings, output)))


@app.command()
def health(context: typer.Context, config: ConfigPath = None) -> None:
    """Exit 0 while the daemon on this host is live, 1 otherwise: for a container's HEALTHCHECK."""
    try:
        settings = _settings(context, config, needs_accounts=False)
    except ConfigurationError as error:
        # Docker reserves 2 for itself.
        _fail(["; ".join(error.findings)], EXIT_INCOMPLETE)
    from syncer.health import probe

    if settings.health.listen is None:
        _fail(["health.listen is off, so there is nobody to ask"], EXIT_INCOMPLETE)
    elif not _carry_out(probe(settings.health.listen)):
        host, port = settings.health.listen
        _fail([f"no live daemon answers on {host}:{port}"], EXIT_INCOMPLETE)
    else:
        typer.echo("live")


@app.command()
def demo() -> None:
    """See it work: a PostgreSQL and a simulated Cloudflare API of its own, synced twice.

    Needs no configuration and no account, and leaves nothing running.
    """
    from syncer.app import interruptible
    from syncer.cli.tour import give_tour

    _carry_out(interruptible(give_tour()))
