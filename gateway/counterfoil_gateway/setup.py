"""Making a gateway: its folder, keys, authority, store and policy."""

from __future__ import annotations

from datetime import datetime, timedelta
from importlib import resources

from counterfoil.errors import CounterfoilError, Reason
from counterfoil.fields import check_name
from counterfoil.keys import PrivateKey
from counterfoil.timestamps import micros
from counterfoil_daemon.files import durable_write, make_folder, read_secret, require_file

from .authority import Authority
from .config import Folder, Settings, to_toml
from .store import values as v
from .store.sqlite import SqliteStore

ALWAYS_NAMED = ("localhost", "127.0.0.1")
"""Every server certificate names these, for clients on the same machine."""


def default_policy() -> bytes:
    """The policy file that a new gateway starts with."""
    return resources.files(__package__).joinpath("policies/default.toml").read_bytes()


async def create(
    folder: Folder,
    settings: Settings,
    *,
    network: str,
    gateway: str,
    now: datetime,
) -> None:
    """Makes a gateway in a new folder. ALREADY_EXISTS if there is one."""
    check_name(network, "network")
    check_name(gateway, "gateway")
    if folder.path.exists() and any(folder.path.iterdir()):
        raise CounterfoilError(Reason.ALREADY_EXISTS, "the folder is not empty", field="dir")
    make_folder(folder.path)
    authority = Authority.generate(network, now)
    answer_key = PrivateKey.generate()
    durable_write(folder.ca_certificate, authority.certificate_pem.encode(), mode=0o644)
    durable_write(folder.ca_key, authority.key_pem)
    durable_write(folder.answer_key, answer_key.seed)
    durable_write(folder.policy, default_policy(), mode=0o644)
    write_server_certificate(folder, settings, authority, gateway, now)
    await SqliteStore.create(
        folder.store,
        v.Identity(
            network=network,
            gateway=gateway,
            answer_key=answer_key.public.raw,
            created_us=micros(now),
        ),
    )
    # Last, so that a folder with settings is a whole one.
    durable_write(folder.settings, to_toml(settings).encode(), mode=0o644)


def write_server_certificate(
    folder: Folder, settings: Settings, authority: Authority, gateway: str, now: datetime
) -> None:
    """Issues the gateway's own server certificate, a new key included."""
    hosts = dict.fromkeys((settings.listen.advertise, gateway, *ALWAYS_NAMED))
    validity = timedelta(days=settings.serve.certificate_days)
    leaf, key = authority.issue_server(gateway, list(hosts), now, validity)
    durable_write(folder.tls.key, key, replace=True)
    durable_write(folder.tls.certificate, leaf.pem.encode(), mode=0o644, replace=True)


def load_authority(folder: Folder) -> Authority:
    """The network's CA from its files."""
    return Authority.load(
        require_file(folder.ca_certificate).read_bytes(), read_secret(folder.ca_key)
    )


def load_answer_key(folder: Folder, identity: v.Identity) -> PrivateKey:
    """The answer key; CONFIG_INVALID when it is not the one that the store knows."""
    key = PrivateKey.load(read_secret(folder.answer_key, 32))
    if key.public.raw != identity.answer_key:
        raise CounterfoilError(
            Reason.CONFIG_INVALID, "not the key that members pinned", field="answer.key"
        )
    return key
