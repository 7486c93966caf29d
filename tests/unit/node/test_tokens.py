"""Tokens: evaluated once, padded, checked against the pinned key, and never readable in between."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from counterfoil import dsse, oprf
from counterfoil.dsse import Envelope
from counterfoil.errors import CounterfoilError, Reason, VerificationError
from counterfoil.evaluation import PAYLOAD_TYPE, EvaluationRequest, PartialEvaluation
from counterfoil.identifier import Identifier
from counterfoil.keys import PrivateKey
from counterfoil.timestamps import micros
from counterfoil_node.store.tokens import TokenCache
from counterfoil_node.tokens import Asker, SingleEvaluator, TokenEpoch, Tokens
from counterfoil_node.vault import Vault
from support.books import BOOK_KEY, new_book, resident_id
from support.loan_rows import AS_OF_SECONDS
from support.memory_gateway import LENDER, NETWORK, MemoryGateway

VAULT = Vault(BOOK_KEY, os.urandom)


def now() -> datetime:
    return datetime.fromtimestamp(AS_OF_SECONDS, UTC)


def who(number: int) -> Identifier:
    return Identifier.parse("cn-resident-id", resident_id(number))


@dataclass
class Bench:
    gateway: MemoryGateway
    key: PrivateKey
    tokens: Tokens
    sent: list[Envelope]

    async def of(self, *numbers: int) -> list[bytes]:
        people = [who(number) for number in numbers]
        found = await self.tokens.tokens(people, self.gateway.epoch, 1.0)
        return [found[VAULT.lookup(person)] for person in people]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    book = await new_book(tmp_path)
    key = PrivateKey.generate()
    gateway = MemoryGateway(key.public)
    sent: list[Envelope] = []
    honest = gateway.evaluate

    async def recorded(request: Envelope, timeout: float) -> tuple[PartialEvaluation, ...]:
        sent.append(request)
        return await honest(request, timeout)

    gateway.evaluate = recorded  # type: ignore[method-assign]
    tokens = Tokens(
        TokenCache(book.database, VAULT),
        VAULT,
        gateway,
        Asker(NETWORK, LENDER, lambda: key),
        SingleEvaluator(),
        now,
        os.urandom,
    )
    yield Bench(gateway, key, tokens, sent)
    await book.close()


async def test_a_token_is_the_oprf_of_the_identifier(bench: Bench) -> None:
    (token,) = await bench.of(1)
    assert token == oprf.token(oprf.evaluate(bench.gateway.secret, who(1).oprf_input()))


async def test_a_known_token_is_not_evaluated_again(bench: Bench) -> None:
    first = await bench.of(1, 2)
    assert await bench.of(2, 1) == first[::-1]
    assert bench.gateway.evaluations == 1


async def test_another_epoch_is_evaluated_anew(bench: Bench) -> None:
    await bench.of(1)
    second = TokenEpoch(2, bench.gateway.epoch.public_key)
    await bench.tokens.tokens([who(1)], second, 1.0)
    assert bench.gateway.evaluations == 2


@pytest.mark.parametrize(("count", "size"), [(1, 1), (2, 16), (16, 16), (17, 128)])
async def test_requests_are_padded(bench: Bench, count: int, size: int) -> None:
    await bench.of(*range(count))
    assert bench.gateway.evaluated_elements == [size]


async def test_more_than_one_request_holds_are_refused(bench: Bench) -> None:
    with pytest.raises(CounterfoilError) as refused:
        await bench.of(*range(1025))
    assert refused.value.reason is Reason.EVALUATION_SIZE


async def test_a_request_is_signed_short_lived_and_blind(bench: Bench) -> None:
    (token,) = await bench.of(1)
    (envelope,) = bench.sent
    request = EvaluationRequest.decode(dsse.verify(envelope, PAYLOAD_TYPE, bench.key.public))
    assert (request.network, request.lender, request.token_epoch) == (NETWORK, LENDER, 1)
    assert request.create_time_us <= micros(now()) < request.expire_time_us
    for secret in (who(1).value.encode(), who(1).oprf_input(), token):
        assert secret not in envelope.payload


async def test_the_same_identifier_is_blinded_anew_each_time(bench: Bench) -> None:
    await bench.of(1)
    await bench.tokens.tokens([who(1)], TokenEpoch(2, bench.gateway.epoch.public_key), 1.0)
    one, other = (EvaluationRequest.decode(e.payload) for e in bench.sent)
    assert one.blinded_elements != other.blinded_elements
    assert one.nonce != other.nonce


async def test_an_evaluation_under_another_key_is_refused_and_not_kept(bench: Bench) -> None:
    bench.gateway.secret, _ = oprf.generate_key_pair()
    with pytest.raises(VerificationError) as refused:
        await bench.of(1)
    assert refused.value.reason is Reason.PROOF_INVALID
    assert not await bench.tokens.cached([VAULT.lookup(who(1))], bench.gateway.epoch)


async def test_no_partial_is_no_evaluation(bench: Bench) -> None:
    async def nothing(request: Envelope, timeout: float) -> tuple[PartialEvaluation, ...]:
        return ()

    bench.gateway.evaluate = nothing  # type: ignore[method-assign]
    with pytest.raises(CounterfoilError) as refused:
        await bench.of(1)
    assert refused.value.reason is Reason.EVALUATOR_UNAVAILABLE


async def test_a_partial_of_another_generation_does_not_count() -> None:
    secret, public = oprf.generate_key_pair()
    _, element = oprf.blind(b"x")
    evaluated, proof = oprf.blind_evaluate(secret, [element])
    partial = PartialEvaluation("lotus", 2, tuple(evaluated), proof)
    with pytest.raises(VerificationError):
        SingleEvaluator().combine(TokenEpoch(1, public), [element], [partial])
    good = PartialEvaluation("lotus", 1, tuple(evaluated), proof)
    combined = SingleEvaluator().combine(TokenEpoch(1, public), [element], [partial, good])
    assert combined == tuple(evaluated)


async def test_the_evaluators_refusal_is_told(bench: Bench) -> None:
    bench.gateway.evaluation_refusal = CounterfoilError(Reason.QUOTA_EXCEEDED, "enough")
    with pytest.raises(CounterfoilError) as refused:
        await bench.of(1)
    assert refused.value.reason is Reason.QUOTA_EXCEEDED
