"""The publishing loop: what it does when tokens, gateway or book fail it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from counterfoil.errors import CounterfoilError, Reason
from counterfoil.keys import PrivateKey
from counterfoil.membership import Member, Network
from counterfoil_daemon.lifecycle import Stop
from counterfoil_node import publishing
from counterfoil_node.config import PublishingSettings
from counterfoil_node.folder import NodeFolder, Pinned
from counterfoil_node.importing import ImportOrder, import_tape
from counterfoil_node.link import Link
from counterfoil_node.outbox import Party, Publisher
from counterfoil_node.publishing import PublishingLoop
from counterfoil_node.server import utc_now
from counterfoil_node.store.tokens import TokenCache
from counterfoil_node.tape import TapeKind
from counterfoil_node.tokens import Asker, SingleEvaluator, Tokens
from support.books import new_book
from support.loan_rows import AS_OF_SECONDS, open_row, write_tape
from support.memory_gateway import GATEWAY, LENDER, NETWORK, MemoryGateway


class Press:
    """A publishing loop over a book and a gateway in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = PrivateKey.generate()
        self.gateway = MemoryGateway(self.key.public)
        self.as_of = AS_OF_SECONDS

    async def begin(self) -> None:
        self.book = await new_book(self.folder)
        self.facts = Network(
            NETWORK,
            GATEWAY,
            self.gateway.answer_key.public.raw,
            "-",
            1,
            self.gateway.epoch.public_key,
        )
        self.link = Link(NodeFolder(self.folder), Pinned(self.facts, "127.0.0.1:1"), self, b"")
        tokens = Tokens(
            TokenCache(self.book.database, self.book.vault),
            self.book.vault,
            self.gateway,
            Asker(NETWORK, LENDER, lambda: self.key),
            SingleEvaluator(),
            utc_now,
            os.urandom,
        )
        party = Party(NETWORK, GATEWAY, LENDER, self.link.answer_key, lambda: self.key)
        self.loop = PublishingLoop(
            self.book,
            Publisher(self.book, self.gateway, party, utc_now, 1.0),
            tokens,
            self.link,
            PublishingSettings(poll_seconds=0.01, retry_seconds=0.01, max_retry_seconds=0.01),
            1.0,
        )

    async def network(self, timeout: float) -> Network:
        return self.facts

    async def members(self, timeout: float) -> tuple[Member, ...]:
        return ()

    async def lay(self, *rows: dict[str, str]) -> None:
        self.as_of += 1
        tape = write_tape(self.folder / "tape.csv", rows)
        await import_tape(self.book, ImportOrder(tape, self.as_of, TapeKind.DELTA), utc_now)

    async def drain(self) -> None:
        while await self.loop.step():
            pass


@pytest.fixture
async def press(tmp_path: Path) -> AsyncIterator[Press]:
    press = Press(tmp_path)
    await press.begin()
    yield press
    await press.book.close()


async def test_a_book_is_tokenised_sealed_and_sent(press: Press) -> None:
    await press.lay(*(open_row(number) for number in range(20)))
    await press.drain()
    assert len(press.gateway.view) == 20
    assert press.gateway.evaluated_elements == [128]
    assert press.link.reachable


async def test_a_used_up_quota_does_not_hold_up_known_borrowers(
    press: Press, monkeypatch: pytest.MonkeyPatch
) -> None:
    await press.lay(open_row(1))
    await press.drain()
    # More strangers than one look at the book sees, and all of them before the known one.
    monkeypatch.setattr(publishing, "MAX_SEALED_RECORDS", 3)
    await press.lay(*(open_row(number) for number in range(10, 16)))
    press.gateway.evaluation_refusal = CounterfoilError(Reason.QUOTA_EXCEEDED, "enough")
    await press.lay(open_row(1, outstanding="1.00"))
    assert await press.loop.step()
    (record,) = press.gateway.view.values()
    assert record.facilities[0].outstanding_minor == 100
    with pytest.raises(CounterfoilError) as refused:
        await press.loop.step()
    assert refused.value.reason is Reason.QUOTA_EXCEEDED
    press.gateway.evaluation_refusal = None
    await press.drain()
    assert len(press.gateway.view) == 7


async def test_without_a_token_epoch_the_network_is_asked_again(press: Press) -> None:
    await press.lay(open_row(1))
    pinned = press.link.pinned
    press.link.pinned = Pinned(
        replace(press.facts, token_epoch=0, token_public_key=b""), pinned.gateway_address
    )
    await press.drain()
    assert len(press.gateway.view) == 1
    assert press.link.epoch == press.gateway.epoch
    # What was learnt is pinned on disk.
    assert NodeFolder(press.folder).pinned().network.token_epoch == 1


async def test_the_loop_outlives_a_gateway_that_comes_and_goes(press: Press) -> None:
    stop = Stop()
    press.gateway.unreachable = True
    await press.lay(open_row(1))
    task = stop.supervise("publishing", press.loop.run(stop))
    while press.link.publishing is not Reason.GATEWAY_UNREACHABLE:
        await stop.wait(0.005)
    press.gateway.unreachable = False
    while not press.gateway.view:
        await stop.wait(0.005)
    stop.ask("the test is over")
    await task
    assert not stop.failed
    assert press.link.publishing is None


async def test_a_book_that_fails_ends_the_daemon(press: Press) -> None:
    stop = Stop()
    await press.lay(open_row(1))
    async with press.book.database.write() as tx:
        await tx.run("DROP TABLE batch_subjects")
    await stop.supervise("publishing", press.loop.run(stop))
    assert stop.failed
    assert press.book.database.failed
