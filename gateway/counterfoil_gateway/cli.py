"""The operator's command line."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from counterfoil.exposure import InstitutionKind
from counterfoil.invitation import ENROLMENT_TOKEN_BYTES
from counterfoil.membership import MemberRole, MemberState
from counterfoil.timestamps import from_micros
from counterfoil_daemon import logs
from counterfoil_daemon.cli import print_json, reports_errors
from counterfoil_daemon.files import durable_write
from counterfoil_daemon.lifecycle import run
from counterfoil_daemon.settings import show

from . import setup
from .config import Folder, Listen, Settings, load_settings
from .membership import Membership
from .risk import policy as risk_policy
from .server import advertised, utc_now
from .server import serve as serve_gateway
from .store.sqlite import SqliteStore

DEFAULT = Listen()
KINDS = {kind.name.lower(): kind for kind in InstitutionKind}

directory = click.option(
    "--dir", "path", type=click.Path(path_type=Path), required=True, help="The gateway's folder."
)
config_file = click.option(
    "--config",
    "config",
    type=click.Path(path_type=Path),
    help="Settings file instead of the folder's gateway.toml.",
)
as_json = click.option("--json", "json_output", is_flag=True, help="Print JSON.")


@click.group()
@click.version_option(package_name="counterfoil-gateway")
def main() -> None:
    """Counterfoil's gateway: takes signed records in, answers with signed judgements."""


@main.command()
@directory
@click.option("--network", required=True, help="The network's name.")
@click.option("--name", "gateway", default="gateway", show_default=True, help="This gateway.")
@click.option("--grpc-listen", default=DEFAULT.grpc, help="Members, mTLS.", show_default=True)
@click.option("--enrol-listen", default=DEFAULT.enrol, help="Enrolment, TLS.", show_default=True)
@click.option("--web-listen", default=DEFAULT.web, help="Health, metrics.", show_default=True)
@click.option("--advertise", default=DEFAULT.advertise, help="Host for members.", show_default=True)
@reports_errors
def init(
    path: Path,
    network: str,
    gateway: str,
    grpc_listen: str,
    enrol_listen: str,
    web_listen: str,
    advertise: str,
) -> None:
    """Make a gateway in a new folder."""
    settings = Settings(listen=Listen(grpc_listen, enrol_listen, web_listen, advertise))
    asyncio.run(
        setup.create(Folder(path), settings, network=network, gateway=gateway, now=utc_now())
    )
    click.echo(f"gateway {gateway} of network {network} made in {path}")


@main.command()
@directory
@config_file
@click.option("--grpc-listen", help="Members, mTLS.")
@click.option("--enrol-listen", help="Enrolment, TLS.")
@click.option("--web-listen", help="Health, metrics.")
@click.option("--log-level", type=click.Choice(list(logs.LEVELS)))
@reports_errors
def serve(
    path: Path,
    config: Path | None,
    grpc_listen: str | None,
    enrol_listen: str | None,
    web_listen: str | None,
    log_level: str | None,
) -> None:
    """Serve until SIGTERM."""
    folder = Folder(path)
    flags = {
        "listen.grpc": grpc_listen,
        "listen.enrol": enrol_listen,
        "listen.web": web_listen,
        "log.level": log_level,
    }
    settings = load_settings(folder, file=config, flags=flags).value
    logs.configure(settings.log.level)
    sys.exit(run(lambda stop: serve_gateway(folder, settings, stop)))


@main.command()
@directory
@click.option("--lender", required=True, help="The lender's name in the network.")
@click.option("--kind", type=click.Choice(list(KINDS)), required=True)
@click.option("--role", "roles", multiple=True, type=click.Choice(["evaluator"]))
@click.option("--valid-hours", default=72.0, show_default=True, type=click.FloatRange(0.01, 720))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Invitation file.")
@reports_errors
def admit(
    path: Path, lender: str, kind: str, roles: tuple[str, ...], valid_hours: float, out: Path
) -> None:
    """Admit a lender and write its invitation, which holds a one-time token."""
    folder = Folder(path)
    settings = load_settings(folder).value

    async def work() -> None:
        async with _membership(folder, settings) as (_, membership):
            invitation = await membership.admit(
                lender,
                KINDS[kind],
                frozenset(MemberRole[role.upper()] for role in roles),
                token=os.urandom(ENROLMENT_TOKEN_BYTES),
                life=timedelta(hours=valid_hours),
                grpc_address=advertised(settings, settings.listen.grpc),
                enrol_address=advertised(settings, settings.listen.enrol),
            )
            durable_write(out, invitation.to_json().encode(), replace=True)

    asyncio.run(work())
    click.echo(f"{lender} admitted; invitation in {out}, hand it over like a password")


@main.command()
@directory
@click.option("--lender", required=True)
@click.option("--reason", required=True, help="Kept with the change.")
@reports_errors
def suspend(path: Path, lender: str, reason: str) -> None:
    """Take a member's right to publish and ask; a running gateway obeys within a second."""
    asyncio.run(_change(Folder(path), lambda membership: membership.suspend(lender, reason)))
    click.echo(f"{lender} suspended")


@main.command()
@directory
@click.option("--lender", required=True)
@click.option("--reason", default="reinstated", help="Kept with the change.")
@reports_errors
def reinstate(path: Path, lender: str, reason: str) -> None:
    """Give a suspended member its rights back."""
    asyncio.run(_change(Folder(path), lambda membership: membership.reinstate(lender, reason)))
    click.echo(f"{lender} reinstated")


@main.command()
@directory
@as_json
@reports_errors
def members(path: Path, json_output: bool) -> None:
    """List the members and how far their books are known."""
    rows = asyncio.run(_members(Folder(path)))
    if json_output:
        print_json(rows)
        return
    for row in rows:
        click.echo(
            f"{row['lender']:<20} {row['kind']:<18} {row['state']:<10}"
            f" batches {row['sequence']:<6} complete as of {row['complete_as_of'] or 'never'}"
        )


@main.command()
@directory
@as_json
@reports_errors
def status(path: Path, json_output: bool) -> None:
    """Tell who the gateway is and how much it holds."""
    report = asyncio.run(_status(Folder(path)))
    if json_output:
        print_json(report)
        return
    for name, value in report.items():
        click.echo(f"{name:<18} {value}")


@main.command("renew-tls")
@directory
@reports_errors
def renew_tls(path: Path) -> None:
    """Issue a new server certificate; send the running gateway SIGHUP to use it."""
    folder = Folder(path)
    settings = load_settings(folder).value

    async def work() -> None:
        store = await SqliteStore.open(folder.store)
        try:
            identity = await store.identity()
        finally:
            await store.close()
        authority = setup.load_authority(folder)
        setup.write_server_certificate(folder, settings, authority, identity.gateway, utc_now())

    asyncio.run(work())
    click.echo("server certificate renewed")


@main.group("config")
def config_group() -> None:
    """Look at the settings."""


@config_group.command("check")
@directory
@config_file
@reports_errors
def config_check(path: Path, config: Path | None) -> None:
    """Check settings, files and policy without starting."""
    folder = Folder(path)
    folder.require()
    load_settings(folder, file=config)
    risk_policy.load(folder.policy.read_bytes())
    setup.load_authority(folder)
    click.echo("ok")


@config_group.command("show")
@directory
@config_file
@reports_errors
def config_show(path: Path, config: Path | None) -> None:
    """Print every setting and where it comes from."""
    for name, value, origin in show(load_settings(Folder(path), file=config)):
        click.echo(f"{name:<24} {value!s:<24} {origin}")


@main.group("policy")
def policy_group() -> None:
    """Look at risk policies."""


@policy_group.command("check")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@reports_errors
def policy_check(file: Path) -> None:
    """Check a policy file and print its version and hash."""
    policy = risk_policy.load(file.read_bytes())
    click.echo(f"{policy.version} {policy.hash.hex()}")


@asynccontextmanager
async def _membership(
    folder: Folder, settings: Settings
) -> AsyncIterator[tuple[SqliteStore, Membership]]:
    """The members' rules over the folder's store, for one command."""
    store = await SqliteStore.open(folder.store)
    try:
        membership = Membership(
            identity=await store.identity(),
            store=store,
            authority=setup.load_authority(folder),
            now=utc_now,
            certificate_validity=timedelta(days=settings.serve.certificate_days),
            policy=lambda: ("", b""),
        )
        await membership.refresh()
        yield store, membership
    finally:
        await store.close()


async def _change(folder: Folder, change: Callable[[Membership], Any]) -> None:
    async with _membership(folder, load_settings(folder).value) as (_, membership):
        await change(membership)


async def _members(folder: Folder) -> list[dict[str, object]]:
    async with _membership(folder, load_settings(folder).value) as (store, _):
        rows: list[dict[str, object]] = []
        for lender, member in sorted((await store.registry()).members.items()):
            head = await store.head(lender)
            complete = head.complete_as_of if head else None
            rows.append(
                {
                    "lender": lender,
                    "kind": member.institution_kind.name.lower(),
                    "roles": sorted(role.name.lower() for role in member.roles),
                    "state": member.state.name.lower(),
                    "sequence": head.sequence if head else 0,
                    "complete_as_of": (
                        from_micros(complete * 1_000_000).isoformat() if complete else None
                    ),
                }
            )
        return rows


async def _status(folder: Folder) -> dict[str, object]:
    folder.require()
    policy = risk_policy.load(folder.policy.read_bytes())
    async with _membership(folder, load_settings(folder).value) as (store, _):
        identity = await store.identity()
        counts = await store.counts()
        registry = await store.registry()
        states = [member.state for member in registry.members.values()]
        return {
            "network": identity.network,
            "gateway": identity.gateway,
            "created": from_micros(identity.created_us).isoformat(),
            "policy": policy.version,
            "policy_hash": policy.hash.hex(),
            "token_epoch": registry.token_epoch.epoch if registry.token_epoch else 0,
            "members_active": states.count(MemberState.ACTIVE),
            "members_suspended": states.count(MemberState.SUSPENDED),
            "members_admitted": states.count(MemberState.ADMITTED),
            "entries": counts.entries,
            "batches": counts.batches,
            "records": counts.records,
            "inquiries": counts.inquiries,
            "conflicts": counts.conflicts,
        }


if __name__ == "__main__":
    main()
