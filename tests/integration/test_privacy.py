"""Privacy, on bytes: what five nodes send and what the gateway stores and logs holds no identifier,
no hash of one, nothing of a consent form, none of the lender's own numbers; logs hold no token."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import pytest

from counterfoil.answer import AnswerStatus
from counterfoil.exposure import ProductKind
from counterfoil_node.desk_client import DeskClient, RawAsk
from demo.identities import Identity, Registry, spellings
from support.gateways import GatewayProcess
from support.loan_rows import AS_OF, open_row, write_tape
from support.needles import contents, forms, hits, token_forms
from support.nodes import MODULE, QUICK, NodeProcess
from support.processes import command, wait_until
from support.recording_proxy import RecordingProxy

LENDERS = {
    "harbour": "bank",
    "meridian": "consumer_finance",
    "lotus": "online_lender",
    "quarry": "microfinance",
    "tide": "point_of_sale",
}
BORROWERS = 24
CONSENT = "I, the undersigned, consent to inquiry 8843-7710 about my affairs."


@dataclass
class Recorded:
    """What went over the wire, and where the files are."""

    folder: Path
    gateway: Path
    sent: dict[str, bytes]
    written: dict[str, list[str]]
    """Every way in which each borrower's identifier was written, by a label."""

    def places(self) -> Iterator[tuple[str, bytes]]:
        """Everything that the nodes sent and that the gateway stored and logged."""
        yield from self.sent.items()
        yield from contents(self.gateway)
        yield from self.logs()

    def logs(self) -> Iterator[tuple[str, bytes]]:
        """The log of every daemon."""
        for log in sorted(self.folder.glob("*.log")):
            yield log.name, log.read_bytes()

    def needles(self) -> Iterator[tuple[str, bytes]]:
        """Everything that must not be found, by what it is."""
        for label, texts in self.written.items():
            for text in texts:
                for form, needle in forms(text).items():
                    yield f"{label}, {form}", needle
        for form, needle in forms(CONSENT).items():
            yield f"consent, {form}", needle
        for number in range(BORROWERS):
            yield f"own loan number {number}", f"LOAN-{number:04d}".encode()
            yield f"own application number {number}", f"APPL-{number:04d}".encode()


def numbered(identity: Identity, number: int, way: str, country: str) -> dict[str, str]:
    """A loan of an identity, written in one way."""
    return open_row(
        number,
        f"LOAN-{number:04d}",
        application_id=f"APPL-{number:04d}",
        identifier_scheme=identity.scheme,
        identifier_value=way,
        identifier_country=country,
    )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Five nodes behind recording proxies import, publish and ask about shared borrowers."""
    folder = tmp_path_factory.mktemp("privacy")
    source = Random(7)
    registry = Registry(source)
    people = [registry.draw() for _ in range(BORROWERS)]
    written = {
        f"borrower {number}": sorted({*spellings(who), who.normal_form})
        for number, who in enumerate(people)
    }
    gateway = GatewayProcess(folder / "gateway")
    sent: dict[str, bytes] = {}
    with ExitStack() as stack:
        gateway.init()
        gateway.start()
        stack.callback(gateway.stop)
        nodes = []
        for place, (lender, kind) in enumerate(LENDERS.items()):
            node, proxies = join_recorded(stack, gateway, folder, lender, kind, place == 0)
            nodes.append((node, proxies))
            rows = [
                numbered(who, number, source.choice(spellings(who)), who.country)
                for number, who in enumerate(people)
                if number % len(LENDERS) in (place, (place + 1) % len(LENDERS))
            ]
            tape = write_tape(folder / f"{lender}.csv", rows)
            command(
                MODULE, "import", tape, "--dir", node.folder, "--as-of", AS_OF, "--kind", "full"
            )
            node.start()
            stack.callback(node.stop)
        for node, _ in nodes:
            wait_until(partial(is_published, node), f"{node.lender} has published")
        asyncio.run(ask_all([node for node, _ in nodes], people))
        for node, proxies in nodes:
            for proxy in proxies:
                sent[f"{node.lender} sends {len(sent)}"] = b"\n".join(proxy.sent)
        stack.pop_all().close()
    return Recorded(folder, gateway.folder, sent, written)


def join_recorded(
    stack: ExitStack,
    gateway: GatewayProcess,
    folder: Path,
    lender: str,
    kind: str,
    evaluator: bool,
) -> tuple[NodeProcess, list[RecordingProxy]]:
    """A node that enrols and works through proxies."""
    node = NodeProcess(folder / lender, lender, kind, evaluator=evaluator)
    enrolling = stack.enter_context(
        RecordingProxy(gateway.folder, f"127.0.0.1:{gateway.enrol_port}")
    )
    command(
        MODULE,
        *("init", "--dir", node.folder, "--lender", lender, "--kind", kind),
        *("--web-listen", f"127.0.0.1:{node.web}"),
        *(["--evaluator"] if evaluator else []),
    )
    invitation = gateway.admit(lender, kind, evaluator=evaluator)
    text = json.loads(invitation.read_text())
    text["enrol_address"] = enrolling.address
    invitation.write_text(json.dumps(text))
    command(MODULE, "enrol", "--dir", node.folder, "--invitation", invitation)
    working = stack.enter_context(
        RecordingProxy(gateway.folder, f"127.0.0.1:{gateway.grpc_port}", node.folder)
    )
    node.configure(QUICK | {"COUNTERFOIL_NODE_GATEWAY_ADDRESS": working.address})
    return node, [enrolling, working]


def is_published(node: NodeProcess) -> bool:
    status = node.status()
    return status["pending_borrowers"] == 0 and status["outbox_batches"] == 0


async def ask_all(nodes: list[NodeProcess], people: list[Identity]) -> None:
    """Every node asks about every borrower, and gets an answer from the gateway."""
    for node in nodes:
        async with DeskClient(node.desk) as desk:
            for number, who in enumerate(people):
                ask = RawAsk(
                    scheme=who.scheme,
                    value=spellings(who)[-1],
                    country=who.country,
                    product_kind=ProductKind.CASH_LOAN,
                    amount_minor=100_000,
                    currency="CNY",
                    application_id=f"APPL-{number:04d}",
                    consent_document=CONSENT.encode(),
                )
                reply = await desk.assess(ask, 20)
                assert reply.answer.status is not AnswerStatus.UNAVAILABLE
                assert reply.answer.active_lenders == 2


@pytest.mark.slow
def test_nothing_that_names_a_borrower_leaves_a_node_or_lies_at_the_gateway(
    recorded: Recorded,
) -> None:
    assert len(recorded.sent) == 2 * len(LENDERS)
    assert all(len(content) > 100 for content in recorded.sent.values())
    assert hits(recorded.needles(), recorded.places()) == set()


@pytest.mark.slow
def test_no_log_holds_a_token(recorded: Recorded) -> None:
    with closing(sqlite3.connect(recorded.gateway / "gateway.db")) as database:
        tokens = [t for (t,) in database.execute("SELECT DISTINCT token FROM exposures")]
    assert len(tokens) == BORROWERS
    needles = [
        (f"token {number}, {form}", needle)
        for number, token in enumerate(tokens)
        for form, needle in token_forms(token).items()
    ]
    logs = list(recorded.logs())
    assert len(logs) == 1 + len(LENDERS)
    assert hits(needles, logs) == set()
    # The wire does carry tokens: the search would see them.
    assert hits(needles[:1], recorded.sent.items())


@pytest.mark.slow
def test_the_search_finds_each_form_that_is_planted(recorded: Recorded, tmp_path: Path) -> None:
    needles = list(recorded.needles())
    label, texts = next(iter(recorded.written.items()))
    for text in texts:
        for form, needle in forms(text).items():
            what = f"{label}, {form}"
            with closing(sqlite3.connect(tmp_path / "planted.db")) as database, database:
                database.execute("DROP TABLE IF EXISTS t")
                database.execute("CREATE TABLE t (value BLOB)")
                # Behind enough other bytes to lie across the pages of the file.
                database.execute("INSERT INTO t VALUES (?)", (bytes(4_080) + needle + bytes(99),))
            (tmp_path / "planted.log").write_bytes(b'{"event": "' + needle + b'"}')
            found = hits(needles, [*contents(tmp_path), ("a message", b"\x0a\x20" + needle)])
            assert f"{what} in planted.db:t" in found
            assert f"{what} in planted.log" in found
            assert f"{what} in a message" in found
