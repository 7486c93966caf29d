"""Replacing the record key: signed by both keys, and repeatable when it was cut off."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from counterfoil import dsse
from counterfoil.errors import CounterfoilError
from counterfoil.keys import PrivateKey
from counterfoil.membership import ROTATION_PAYLOAD_TYPE, RecordKeyRotation
from counterfoil.timestamps import micros
from counterfoil_daemon.files import durable_write, read_secret

from .config import Settings
from .folder import SEED_BYTES, NodeFolder
from .gateway_client import GatewayClient


async def rotate_record_key(
    folder: NodeFolder, settings: Settings, client: GatewayClient, now: Callable[[], datetime]
) -> str:
    """Puts a new record key in force; returns its key id. The daemon must not run meanwhile.

    The new key is durable before the gateway hears of it, so that no moment leaves the node
    without the key in force.
    """
    timeout = settings.gateway.timeout_seconds
    old = folder.record_key()
    if not folder.next_record_key_file.exists():
        durable_write(folder.next_record_key_file, PrivateKey.generate().seed)
    new = PrivateKey.load(read_secret(folder.next_record_key_file, SEED_BYTES))
    rotation = RecordKeyRotation(
        network=folder.pinned().network.network,
        lender=settings.node.lender,
        old_key=old.public.raw,
        new_key=new.public.raw,
        create_time_us=micros(now()),
    )
    try:
        await client.rotate_record_key(
            dsse.sign(ROTATION_PAYLOAD_TYPE, rotation.encode(), old, new), timeout
        )
    except CounterfoilError:
        # An earlier try may have come through without its reply.
        members = await client.members(timeout)
        if not any(
            member.lender == settings.node.lender and member.record_key == new.public.raw
            for member in members
        ):
            raise
    durable_write(folder.record_key_file, new.seed, replace=True)
    folder.next_record_key_file.unlink()
    return new.public.key_id
