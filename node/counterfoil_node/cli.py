"""`counterfoil-node`: the command line of a lender's node."""

from __future__ import annotations

import asyncio
import secrets
import sys
from pathlib import Path
from typing import BinaryIO, TextIO

import click

from counterfoil.errors import CounterfoilError, Reason
from counterfoil.exposure import ProductKind
from counterfoil.inquiry import Purpose
from counterfoil_daemon import lifecycle, logs
from counterfoil_daemon.cli import print_json, reports_errors
from counterfoil_daemon.settings import Loaded, show

from . import cli_output as output
from .book import Book
from .config import Settings, load_settings, new_file
from .days import parse_instant
from .desk_client import DeskClient, DeskReply, RawAsk, desk_target
from .enrol import book_settings, enrol, make_folder_of, read_invitation
from .folder import NodeFolder
from .gateway_client import GatewayClient
from .importing import ImportOrder, import_tape, refusal
from .rotation import rotate_record_key
from .server import Node, renew_certificate, utc_now
from .standing import NodeStanding, standing_of
from .tape import TapeKind
from .tape_columns import parse_amount

STATUS_SECONDS = 5.0
"""How long `status` waits for the running daemon."""

MAX_VALUE_CHARACTERS = 1024
"""How much is read as an identifier."""

folder_option = click.option(
    "--dir",
    "folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    callback=lambda _, __, value: NodeFolder(value),
    help="The node's folder.",
)
config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file; by default node.toml in the folder.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _load(folder: NodeFolder, config: Path | None, **flags: object) -> Loaded[Settings]:
    named = {name.replace("__", "."): value for name, value in flags.items()}
    return load_settings(config or folder.settings, named)


@click.group()
def main() -> None:
    """A lender's node: keeps the loan book, publishes sealed summaries, asks about borrowers.

    \b
    Examples:
      counterfoil-node init --dir harbour --lender harbour --kind bank
      counterfoil-node enrol --dir harbour --invitation harbour.invitation
      counterfoil-node import tape.csv --dir harbour --as-of 2026-11-20T00:00:00Z --kind full
      counterfoil-node run --dir harbour
      counterfoil-node assess --dir harbour --scheme cn-resident-id --value-file id.txt \\
          --application-id A-1 --product cash_loan --amount 5000.00 --currency CNY
    """


@main.command()
@folder_option
@click.option("--lender", required=True, help="The lender's name in the network.")
@click.option("--kind", required=True, help="Institution kind, for example bank.")
@click.option("--evaluator", is_flag=True, help="Take on the evaluator's role.")
@click.option("--time-zone", default="Asia/Shanghai", show_default=True, help="IANA zone.")
@click.option("--web-listen", default="127.0.0.1:7580", show_default=True, help="Loopback port.")
@reports_errors
def init(
    folder: NodeFolder, lender: str, kind: str, evaluator: bool, time_zone: str, web_listen: str
) -> None:
    """Make the folder of a new node: settings, an empty book, keys."""
    flags: dict[str, object] = {
        "node.lender": lender,
        "node.kind": kind,
        "node.evaluator": evaluator,
        "node.time_zone": time_zone,
        "web.listen": web_listen,
    }
    settings = output.checked(flags)
    text = new_file(
        lender=lender, kind=kind, time_zone=time_zone, evaluator=evaluator, web_listen=web_listen
    )
    asyncio.run(make_folder_of(folder, settings, text, secrets.token_bytes))
    click.echo(f"made {folder.path}; next: enrol", err=True)


@main.command("enrol")
@folder_option
@config_option
@click.option(
    "--invitation",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file that the gateway's operator handed over.",
)
@reports_errors
def enrol_command(folder: NodeFolder, config: Path | None, invitation: Path) -> None:
    """Become a member of the network by an invitation."""
    settings = _load(folder, config).value
    pinned = asyncio.run(
        enrol(folder, settings, read_invitation(invitation), settings.gateway.timeout_seconds)
    )
    click.echo(f"{settings.node.lender} is a member of {pinned.network.network}", err=True)


@main.command("import")
@click.argument("tape", type=click.Path(path_type=Path, dir_okay=False))
@folder_option
@config_option
@click.option("--as-of", required=True, help="The time that the tape speaks of, ISO 8601.")
@click.option("--kind", required=True, type=click.Choice([kind.value for kind in TapeKind]))
@click.option("--confirm-closures", is_flag=True, help="Close more loans than the set share.")
@click.option("--accept-good-rows", is_flag=True, help="Import the good rows despite bad ones.")
@json_option
@reports_errors
def import_command(
    tape: Path,
    folder: NodeFolder,
    config: Path | None,
    as_of: str,
    kind: str,
    confirm_closures: bool,
    accept_good_rows: bool,
    as_json: bool,
) -> None:
    """Import a loan TAPE (CSV or Parquet) into the book. A running daemon publishes the changes."""
    settings = _load(folder, config).value
    order = ImportOrder(
        path=tape,
        as_of=parse_instant(as_of, settings.node.time_zone, "as_of"),
        kind=TapeKind(kind),
        confirm_closures=confirm_closures,
        accept_good_rows=accept_good_rows,
        max_closing_percent=settings.tapes.max_closing_percent,
    )

    async def work() -> None:
        vault = folder.vault(secrets.token_bytes)
        book = await Book.open(folder.database, vault, book_settings(settings), secrets.token_bytes)
        try:
            with output.progress() as advance:
                outcome = await import_tape(book, order, utc_now, advance)
        finally:
            await book.close()
        output.tell_import(outcome, as_json)
        if not outcome.applied:
            raise refusal(outcome)

    asyncio.run(work())


@main.command()
@folder_option
@config_option
@click.option("--web-listen", help="Loopback host:port of /healthz, /readyz, /metrics.")
@click.option("--desk-listen", help="Loopback host:port instead of the Unix socket.")
@click.option("--gateway", "gateway_address", help="host:port of the gateway's mTLS port.")
@click.option("--log-level", help="debug, info, warning or error.")
@reports_errors
def run(
    folder: NodeFolder,
    config: Path | None,
    web_listen: str | None,
    desk_listen: str | None,
    gateway_address: str | None,
    log_level: str | None,
) -> None:
    """Run the daemon: publish changes, serve the desk."""
    settings = _load(
        folder,
        config,
        web__listen=web_listen,
        desk__listen=desk_listen,
        gateway__address=gateway_address,
        log__level=log_level,
    ).value
    logs.configure(settings.log.level)
    sys.exit(lifecycle.run(Node(folder, settings).serve))


@main.command()
@folder_option
@config_option
@click.option("--scheme", required=True, help="cn-resident-id, cn-uscc or passport.")
@click.option(
    "--value-file",
    type=click.File("r"),
    default="-",
    help="File with the identifier; by default standard input. Never an argument: arguments show"
    " in process lists.",
)
@click.option("--country", default="", help="Issuing country of a passport.")
@click.option("--application-id", default="", help="Your own number of the application.")
@click.option(
    "--purpose",
    type=click.Choice([purpose.name.lower() for purpose in Purpose]),
    default="credit_application",
    show_default=True,
)
@click.option(
    "--product",
    type=click.Choice([kind.name.lower() for kind in ProductKind]),
    required=True,
)
@click.option("--amount", required=True, help="Decimal, for example 5000.00.")
@click.option("--currency", required=True, help="ISO 4217 code.")
@click.option("--consent-file", type=click.File("rb"), help="The borrower's consent document.")
@click.option("--timeout", default=10.0, show_default=True, help="Seconds.")
@json_option
@reports_errors
def assess(
    folder: NodeFolder,
    config: Path | None,
    scheme: str,
    value_file: TextIO,
    country: str,
    application_id: str,
    purpose: str,
    product: str,
    amount: str,
    currency: str,
    consent_file: BinaryIO | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Ask about a borrower through the running daemon."""
    settings = _load(folder, config).value
    ask = RawAsk(
        scheme=scheme,
        value=value_file.read(MAX_VALUE_CHARACTERS).strip(),
        country=country,
        application_id=application_id,
        purpose=Purpose[purpose.upper()],
        consent_document=consent_file.read() if consent_file else b"",
        product_kind=ProductKind[product.upper()],
        amount_minor=parse_amount(amount, currency, "amount"),
        currency=currency,
    )

    async def work() -> DeskReply:
        async with DeskClient(desk_target(folder, settings)) as client:
            return await client.assess(ask, timeout)

    output.tell_answer(asyncio.run(work()), as_json)


@main.command()
@folder_option
@config_option
@json_option
@reports_errors
def status(folder: NodeFolder, config: Path | None, as_json: bool) -> None:
    """Tell how the node stands: from the running daemon, else from the folder."""
    settings = _load(folder, config).value

    async def work() -> tuple[NodeStanding, bool]:
        async with DeskClient(desk_target(folder, settings)) as client:
            try:
                return await client.status(STATUS_SECONDS), True
            except CounterfoilError as error:
                if error.reason is not Reason.SHUTTING_DOWN:
                    raise
        vault = folder.vault(secrets.token_bytes)
        book = await Book.open(folder.database, vault, book_settings(settings), secrets.token_bytes)
        try:
            return await standing_of(folder, book, False), False
        finally:
            await book.close()

    standing, running = asyncio.run(work())
    output.tell_status(standing, running, as_json)


@main.command("rotate-key")
@folder_option
@config_option
@reports_errors
def rotate_key(folder: NodeFolder, config: Path | None) -> None:
    """Replace the record key. Stop the daemon first; a cut-off rotation is repeated."""
    settings = _load(folder, config).value

    async def work() -> str:
        client = _client(folder, settings)
        try:
            return await rotate_record_key(folder, settings, client, utc_now)
        finally:
            await client.close()

    with lifecycle.FolderLock(folder.path):
        key_id = asyncio.run(work())
    click.echo(f"record key {key_id} is in force", err=True)


@main.command()
@folder_option
@config_option
@reports_errors
def renew(folder: NodeFolder, config: Path | None) -> None:
    """Fetch a new certificate; send SIGHUP to a running daemon afterwards."""
    settings = _load(folder, config).value

    async def work() -> str:
        client = _client(folder, settings)
        try:
            return (await renew_certificate(folder, settings, client)).isoformat()
        finally:
            await client.close()

    click.echo(f"the certificate is valid until {asyncio.run(work())}", err=True)


@main.group()
def config() -> None:
    """Look at the settings."""


@config.command("check")
@folder_option
@config_option
@reports_errors
def config_check(folder: NodeFolder, config: Path | None) -> None:
    """Check settings and files without starting."""
    settings = _load(folder, config).value
    folder.require_all(evaluator=settings.node.evaluator)
    folder.record_key()
    folder.vault(secrets.token_bytes)
    folder.pinned()
    click.echo("settings and files are fit for a start", err=True)


@config.command("show")
@folder_option
@config_option
@json_option
@reports_errors
def config_show(folder: NodeFolder, config: Path | None, as_json: bool) -> None:
    """Print every setting and where its value came from."""
    rows = show(_load(folder, config))
    if as_json:
        print_json({path: {"value": value, "origin": origin} for path, value, origin in rows})
        return
    for path, value, origin in rows:
        click.echo(f"{path} = {value!r}  ({origin})")


def _client(folder: NodeFolder, settings: Settings) -> GatewayClient:
    address = settings.gateway.address or folder.pinned().gateway_address
    return GatewayClient(address, folder.tls)


if __name__ == "__main__":
    main()
