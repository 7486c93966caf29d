"""A gateway in memory that keeps the rules, and breaks at the step that a test names."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from counterfoil import batch, dsse, oprf
from counterfoil.batch import RECEIPT_PAYLOAD_TYPE, BatchReceipt, BatchStatement
from counterfoil.dsse import Envelope
from counterfoil.errors import CounterfoilError, Reason
from counterfoil.evaluation import EvaluationRequest, PartialEvaluation
from counterfoil.exposure import Exposure
from counterfoil.exposure_codec import decode
from counterfoil.keys import PrivateKey, PublicKey
from counterfoil_node.tokens import TokenEpoch

NETWORK, GATEWAY, LENDER = "test", "gateway", "harbour"


class Fault(Enum):
    """Where a call goes wrong."""

    BEFORE = "the request is lost"
    AFTER = "the reply is lost"
    REFUSED = "the gateway refuses"
    REFUSED_AFTER = "the gateway took it at an earlier try, and now refuses"


class MemoryGateway:
    """Publishing and evaluating without a network."""

    def __init__(self, lender_key: PublicKey) -> None:
        self.answer_key = PrivateKey.generate()
        self.lender_key = lender_key
        self.secret, public = oprf.generate_key_pair()
        self.epoch = TokenEpoch(1, public)
        self.statements: list[BatchStatement] = []
        self.receipts: list[Envelope] = []
        self.payloads: list[bytes] = []
        self.view: dict[bytes, Exposure] = {}
        self.faults: list[Fault] = []
        """What happens to the next calls of publish."""
        self.refusal = Reason.CLOCK_SKEW
        self.unreachable = False
        self.evaluations = 0
        self.evaluated_elements: list[int] = []
        self.evaluation_refusal: CounterfoilError | None = None

    async def publish(
        self, statement: Envelope, salts: bytes, records: Sequence[bytes], timeout: float
    ) -> Envelope:
        """See `counterfoil_node.ports.PublishingGateway`."""
        self._reach()
        fault = self.faults.pop(0) if self.faults else None
        if fault is Fault.BEFORE:
            raise CounterfoilError(Reason.GATEWAY_UNREACHABLE, "lost")
        if fault is Fault.REFUSED:
            raise CounterfoilError(self.refusal, "refused")
        receipt = self._accept(statement, salts, records)
        if fault is Fault.AFTER:
            raise CounterfoilError(Reason.GATEWAY_UNREACHABLE, "lost")
        if fault is Fault.REFUSED_AFTER:
            raise CounterfoilError(self.refusal, "refused")
        return receipt

    async def publishing_state(self, timeout: float) -> Envelope | None:
        """See `counterfoil_node.ports.PublishingGateway`."""
        self._reach()
        return self.receipts[-1] if self.receipts else None

    async def evaluate(self, request: Envelope, timeout: float) -> tuple[PartialEvaluation, ...]:
        """See `counterfoil_node.ports.EvaluatingGateway`."""
        self._reach()
        if self.evaluation_refusal is not None:
            raise self.evaluation_refusal
        elements = EvaluationRequest.decode(request.payload).blinded_elements
        self.evaluations += 1
        self.evaluated_elements.append(len(elements))
        evaluated, proof = oprf.blind_evaluate(self.secret, elements)
        return (PartialEvaluation("lotus", 1, tuple(evaluated), proof),)

    def _reach(self) -> None:
        if self.unreachable:
            raise CounterfoilError(Reason.GATEWAY_UNREACHABLE, "nobody there")

    def _accept(self, envelope: Envelope, salts: bytes, records: Sequence[bytes]) -> Envelope:
        opened = batch.open_batch(envelope, salts, records, self.lender_key)
        statement = opened.statement
        if statement.sequence <= len(self.payloads):
            if self.payloads[statement.sequence - 1] != envelope.payload:
                raise CounterfoilError(Reason.SEQUENCE_CONFLICT, "other bytes")
            return self.receipts[statement.sequence - 1]
        if statement.sequence != len(self.payloads) + 1:
            raise CounterfoilError(Reason.SEQUENCE_GAP, "a gap")
        previous = batch.statement_hash(self.payloads[-1]) if self.payloads else b""
        if statement.previous_statement_hash != previous:
            raise CounterfoilError(Reason.PREVIOUS_HASH_MISMATCH, "another predecessor")
        if self.statements and statement.as_of < self.statements[-1].as_of:
            raise CounterfoilError(Reason.AS_OF_BACKWARDS, "back")
        self.statements.append(statement)
        self.payloads.append(envelope.payload)
        for record in records:
            exposure = decode(record)
            self.view[exposure.token] = exposure
        receipt = BatchReceipt(
            network=NETWORK,
            gateway=GATEWAY,
            lender=LENDER,
            sequence=statement.sequence,
            statement_hash=opened.statement_hash,
            record_count=statement.record_count,
            received_time_us=1_795_000_000_000_000 + statement.sequence,
            entry_index=statement.sequence,
        )
        self.receipts.append(dsse.sign(RECEIPT_PAYLOAD_TYPE, receipt.encode(), self.answer_key))
        return self.receipts[-1]
