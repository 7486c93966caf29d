"""`kill -9` of gateway and node at random points under load: nothing acknowledged is lost, nothing
happens twice, the sequence stays unbroken."""

from __future__ import annotations

import asyncio
import hashlib
import random
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from counterfoil import batch, wire
from counterfoil.batch import BatchStatement
from counterfoil.errors import CounterfoilError
from counterfoil.v1.desk_service_pb2 import ReportLoanEventsRequest
from counterfoil_node.desk_client import DeskClient
from support.gateways import GatewayProcess
from support.nodes import NodeProcess, opened_loan
from support.processes import wait_until

ROUNDS = 50
LONGEST_LIFE_SECONDS = 0.4
"""Between two kills: long enough for several batches, short enough to hit every step of one."""
CALL_SECONDS = 2.0


class Load:
    """A loan system that reports one new loan after the other and never takes no for an answer."""

    def __init__(self, node: NodeProcess) -> None:
        self._node = node
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.acknowledged = 0
        """Reports that the desk has acknowledged; each is one borrower with one loan."""

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        while not self._stop.is_set():
            number = self.acknowledged
            request = ReportLoanEventsRequest(
                request_id=f"R-{number}",
                events=[opened_loan(f"L-{number}", f"C{number:08d}")],
            )
            # The same request until it is acknowledged: what a careful loan system does.
            while not await self._reported(request):
                await asyncio.sleep(0.02)
            self.acknowledged += 1

    async def _reported(self, request: ReportLoanEventsRequest) -> bool:
        try:
            async with DeskClient(self._node.desk) as desk:
                await desk.report(request, CALL_SECONDS)
        except CounterfoilError:
            return False
        return True


@pytest.mark.slow
def test_fifty_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    source = random.Random(20_261_124)
    gateway = GatewayProcess(tmp_path / "gateway")
    node = NodeProcess(tmp_path / "harbour", "harbour", evaluator=True)
    gateway.init()
    gateway.start()
    try:
        node.join(gateway)
        node.start()
        with Load(node) as load:
            for _ in range(ROUNDS):
                time.sleep(source.uniform(0, LONGEST_LIFE_SECONDS))
                victim = source.choice([gateway, node])
                victim.kill()
                victim.start(wait=False)
                # The next blow may fall while it is still getting up.
                if source.random() < 0.8:
                    victim.wait_ready()
            gateway.wait_ready()
            node.wait_ready()
            reached = load.acknowledged
            wait_until(lambda: load.acknowledged > reached, "the load goes on after the last kill")
        wait_until(lambda: nothing_waits(node), "everything is published")
        check(gateway, node, load.acknowledged)
    finally:
        node.stop()
        gateway.stop()


def nothing_waits(node: NodeProcess) -> bool:
    status = node.status()
    return status["pending_borrowers"] == 0 and status["outbox_batches"] == 0


def check(gateway: GatewayProcess, node: NodeProcess, borrowers: int) -> None:
    """Compares what both sides hold, from their files."""
    assert borrowers > ROUNDS, "there was a load"
    with closing(sqlite3.connect(gateway.folder / "gateway.db")) as database:
        taken = database.execute(
            "SELECT sequence, b.statement_hash, envelope, salts, records FROM batches b"
            " JOIN entries USING (entry_index) LEFT JOIN batch_openings USING (lender_id, sequence)"
            " ORDER BY sequence"
        ).fetchall()
        entries = [i for (i,) in database.execute("SELECT entry_index FROM entries ORDER BY 1")]
        tokens = database.execute("SELECT count(*), count(DISTINCT token) FROM exposures")
        assert tokens.fetchone() == (borrowers, borrowers)
        assert database.execute("SELECT count(*) FROM conflicts").fetchone() == (0,)
    assert entries == list(range(len(entries)))
    assert [sequence for sequence, *_ in taken] == list(range(1, len(taken) + 1))
    previous = b""
    for _, statement_hash, envelope, salts, packed in taken:
        payload = wire.envelope_from_bytes(envelope).payload
        statement = BatchStatement.decode(payload)
        assert statement.previous_statement_hash == previous
        assert hashlib.sha256(payload).digest() == statement_hash
        records = unpacked(packed) if packed is not None else []
        batch.check_openings(statement, salts or b"", records)
        previous = statement_hash
    with closing(sqlite3.connect(node.folder / "node.db")) as database:
        acknowledged = database.execute(
            "SELECT sequence, statement_hash FROM batches WHERE receipt IS NOT NULL"
            " ORDER BY sequence"
        ).fetchall()
    assert acknowledged == [(sequence, digest) for sequence, digest, *_ in taken]


def unpacked(blob: bytes) -> list[bytes]:
    """Records of an opening: each after its length in four bytes."""
    records = []
    while blob:
        length = int.from_bytes(blob[:4], "big")
        records.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return records
