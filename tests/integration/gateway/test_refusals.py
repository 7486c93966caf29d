"""Every refusal has its own reason and no effect, over real mTLS on a real store."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from counterfoil import batch, dsse, exposure_codec, limits
from counterfoil.batch import BatchStatement, SealedBatch
from counterfoil.errors import CounterfoilError, Reason
from counterfoil.exposure import EventKind, Exposure, InstitutionKind
from counterfoil.inquiry import PAYLOAD_TYPE, Inquiry
from counterfoil.keys import PrivateKey
from counterfoil.v1 import assessment_service_pb2, exposure_pb2, inquiry_pb2, publishing_service_pb2
from counterfoil.v1.assessment_service_pb2_grpc import AssessmentServiceStub
from counterfoil.v1.publishing_service_pb2_grpc import PublishingServiceStub
from counterfoil.wire import envelope_to_proto
from counterfoil_daemon.errors_on_wire import from_rpc_error
from counterfoil_daemon.server import secure_channel
from counterfoil_gateway.authority import Authority, private_key_pem
from counterfoil_gateway.config import Folder
from support.exposures import plain_event, plain_exposure, plain_facility
from support.gateways import CALL_SECONDS, Lender, ask, certificate_request, publish
from support.processes import command, wait_until
from support.towns import Town

STRANGER = PrivateKey.load(b"\x55" * 32)


def snapshot(town: Town) -> dict[str, list[tuple[object, ...]]]:
    """Everything that a refused call must not change."""
    tables = ("entries", "batches", "heads", "batch_openings", "exposures", "inquiries", "members")
    database = sqlite3.connect(f"file:{town.gateway.folder / 'gateway.db'}?mode=ro", uri=True)
    try:
        return {t: database.execute(f"SELECT * FROM {t}").fetchall() for t in tables}
    finally:
        database.close()


def exposure(**changes: object) -> Exposure:
    """A record that lotus could publish now."""
    now = int(time.time()) - 3_600
    fields: dict[str, object] = {
        "effective_time": now,
        "institution_kind": InstitutionKind.ONLINE_LENDER,
        "events": (plain_event(EventKind.APPLIED, now - 60, b"\x09" * 16),),
    }
    return plain_exposure(**(fields | changes))


def record(**changes: object) -> bytes:
    """The bytes of one."""
    return exposure_codec.encode(exposure(**changes))


def record_altered(change: Callable[[exposure_pb2.ExposureSummary], object]) -> bytes:
    """A record that no domain type would make."""
    message = exposure_pb2.ExposureSummary.FromString(record()[4:])
    change(message)
    return exposure_codec.TAG + message.SerializeToString()


def forged(lender: Lender) -> SealedBatch:
    sealed = lender.seal((record(),))
    signature = dataclasses.replace(sealed.envelope.signatures[0], signature=os.urandom(64))
    envelope = dataclasses.replace(sealed.envelope, signatures=(signature,))
    return dataclasses.replace(sealed, envelope=envelope)


def with_altered_record(lender: Lender) -> SealedBatch:
    sealed = lender.seal((record(),))
    return dataclasses.replace(sealed, records=(record(token=b"\x02" * 32),))


def signed_as(statement: BatchStatement, key: PrivateKey) -> SealedBatch:
    envelope = dsse.sign(batch.PAYLOAD_TYPE, statement.encode(), key)
    return SealedBatch(envelope, statement, b"", ())


def of_unknown_currency(message: exposure_pb2.ExposureSummary) -> None:
    message.facilities[0].currency = "QQQ"


BATCHES: dict[str, tuple[Callable[[Lender], SealedBatch], Reason]] = {
    "forged signature": (forged, Reason.SIGNATURE_INVALID),
    "signed by a stranger": (
        lambda lender: lender.seal((record(),), key=STRANGER),
        Reason.SIGNATURE_MISSING,
    ),
    "a receipt's payload type": (
        lambda lender: dataclasses.replace(
            lender.seal(),
            envelope=dsse.sign(batch.RECEIPT_PAYLOAD_TYPE, b"payload", lender.key),
        ),
        Reason.PAYLOAD_TYPE_MISMATCH,
    ),
    "altered record": (with_altered_record, Reason.BATCH_ROOT_MISMATCH),
    "a record too few": (
        lambda lender: dataclasses.replace(lender.seal((record(),)), records=()),
        Reason.BATCH_COUNT_MISMATCH,
    ),
    "gap in sequence": (
        lambda lender: lender.seal(
            sequence=lender.sequence + 2, previous_statement_hash=b"\x01" * 32
        ),
        Reason.SEQUENCE_GAP,
    ),
    "rewind in sequence": (
        lambda lender: lender.seal(sequence=1, previous_statement_hash=b""),
        Reason.SEQUENCE_CONFLICT,
    ),
    "another predecessor": (
        lambda lender: lender.seal(previous_statement_hash=b"\x01" * 32),
        Reason.PREVIOUS_HASH_MISMATCH,
    ),
    "as-of going back": (
        lambda lender: lender.seal(as_of=lender.as_of - 1, complete_as_of=None),
        Reason.AS_OF_BACKWARDS,
    ),
    "complete-as-of going back": (
        lambda lender: lender.seal(complete_as_of=lender.as_of - 1),
        Reason.AS_OF_BACKWARDS,
    ),
    "clock far off": (
        lambda lender: lender.seal(as_of=int(time.time()) + 600, complete_as_of=None),
        Reason.CLOCK_SKEW,
    ),
    "another lender's statement": (
        lambda lender: lender.seal(lender="harbour"),
        Reason.LENDER_MISMATCH,
    ),
    "another network's statement": (
        lambda lender: lender.seal(network="elsewhere"),
        Reason.NETWORK_MISMATCH,
    ),
    "wrong token epoch": (lambda lender: lender.seal(token_epoch=2), Reason.TOKEN_EPOCH_MISMATCH),
    "a record of another epoch": (
        lambda lender: lender.seal((record(token_epoch=2),)),
        Reason.TOKEN_EPOCH_MISMATCH,
    ),
    "two records about one borrower": (
        lambda lender: lender.seal((record(), record(omitted_count=0))),
        Reason.BATCH_DUPLICATE_TOKEN,
    ),
    "a record later than the as-of": (
        lambda lender: lender.seal((record(effective_time=lender.as_of + 1),)),
        Reason.FIELD_INVALID,
    ),
    "a record of another kind of lender": (
        lambda lender: lender.seal((record(institution_kind=InstitutionKind.BANK),)),
        Reason.FIELD_INVALID,
    ),
    "negative amount": (
        lambda lender: lender.seal(
            (record_altered(lambda m: setattr(m.facilities[0], "outstanding_minor", -1)),)
        ),
        Reason.AMOUNT_NEGATIVE,
    ),
    "amount beyond all bounds": (
        lambda lender: lender.seal(
            (record_altered(lambda m: setattr(m.facilities[0], "limit_minor", 10**16)),)
        ),
        Reason.AMOUNT_TOO_LARGE,
    ),
    "unknown currency": (
        lambda lender: lender.seal((record_altered(of_unknown_currency),)),
        Reason.CURRENCY_UNKNOWN,
    ),
    "unknown enum value": (
        lambda lender: lender.seal(
            (record_altered(lambda m: setattr(m.facilities[0], "role", 99)),)
        ),
        Reason.ENUM_UNKNOWN,
    ),
    "unknown time zone": (
        lambda lender: lender.seal(
            (record_altered(lambda m: m.events.time_zones.__setitem__(0, "Moon/Base")),)
        ),
        Reason.TIME_ZONE_UNKNOWN,
    ),
    "too many events": (
        lambda lender: lender.seal(
            (record_altered(lambda m: m.events.kinds.extend([m.events.kinds[0]] * 200)),)
        ),
        Reason.TOO_MANY_EVENTS,
    ),
    "invalid UTF-8 in a record": (
        lambda lender: lender.seal((b"CFX\x01\x32\x04\x1a\x02\xff\xfe",)),
        Reason.MALFORMED,
    ),
    "a record of an unknown version": (
        lambda lender: lender.seal((b"CFX\x09" + record()[4:],)),
        Reason.RECORD_VERSION_UNKNOWN,
    ),
    "oversize batch": (
        lambda lender: dataclasses.replace(
            lender.seal((record(),)), records=(b"x",) * (limits.MAX_BATCH_RECORDS + 1)
        ),
        Reason.BATCH_TOO_LARGE,
    ),
    "oversize message": (
        lambda lender: dataclasses.replace(
            lender.seal((record(),)), salts=bytes(limits.MAX_MESSAGE_BYTES + 1)
        ),
        Reason.MESSAGE_TOO_LARGE,
    ),
    "message beyond what the transport takes": (
        lambda lender: dataclasses.replace(
            lender.seal((record(),)), salts=bytes(3 * limits.MAX_MESSAGE_BYTES)
        ),
        Reason.MESSAGE_TOO_LARGE,
    ),
}


@pytest.fixture(scope="module")
def one_batch(town: Town) -> SealedBatch:
    """The first batch of lotus, accepted, so that there is something to conflict with."""
    sealed = town.lotus.seal((record(),))

    async def accept() -> None:
        async with town.lotus.channel() as channel:
            await publish(channel, sealed)

    asyncio.run(accept())
    town.lotus.accepted(sealed)
    return sealed


async def refusal(call: Awaitable[object]) -> Reason:
    with pytest.raises(CounterfoilError) as refused:
        await call
    return refused.value.reason


@pytest.mark.parametrize("case", BATCHES)
async def test_a_bad_batch_is_refused_without_effect(
    town: Town, one_batch: SealedBatch, case: str
) -> None:
    make, reason = BATCHES[case]
    before = snapshot(town)
    async with town.lotus.channel() as channel:
        assert await refusal(publish(channel, make(town.lotus))) is reason
    assert snapshot(town) == before


async def test_the_same_bytes_again_return_the_same_receipt(
    town: Town, one_batch: SealedBatch
) -> None:
    before = snapshot(town)
    async with town.lotus.channel() as channel:
        first = await publish(channel, one_batch)
        again = await publish(channel, one_batch)
    assert first == again
    assert snapshot(town) == before


async def test_other_bytes_under_an_accepted_number_are_kept_as_evidence(
    town: Town, one_batch: SealedBatch
) -> None:
    other = town.lotus.seal((record(),), sequence=1, previous_statement_hash=b"")
    conflicts = town.gateway.status()["conflicts"]
    before = snapshot(town)
    async with town.lotus.channel() as channel:
        assert await refusal(publish(channel, other)) is Reason.SEQUENCE_CONFLICT
        assert await refusal(publish(channel, other)) is Reason.SEQUENCE_CONFLICT
    assert snapshot(town) == before
    assert town.gateway.status()["conflicts"] == conflicts + 1


TOKEN = b"\x31" * 32


def raw_inquiry(lender: Lender, change: Callable[[inquiry_pb2.Inquiry], object]) -> dsse.Envelope:
    """An inquiry that no domain type would make, well signed."""
    message = inquiry_pb2.Inquiry.FromString(lender.inquiry(TOKEN).encode())
    change(message)
    return dsse.sign(PAYLOAD_TYPE, message.SerializeToString(), lender.key)


def expired(lender: Lender) -> Inquiry:
    now = time.time_ns() // 1_000
    return lender.inquiry(TOKEN, create_time_us=now - 20_000_000, expire_time_us=now - 10_000_000)


def from_the_future(lender: Lender) -> Inquiry:
    later = time.time_ns() // 1_000 + 600_000_000
    return lender.inquiry(TOKEN, create_time_us=later, expire_time_us=later + 1_000_000)


INQUIRIES: dict[str, tuple[Callable[[Lender], dsse.Envelope], Reason]] = {
    "forged signature": (
        lambda lender: dsse.sign(PAYLOAD_TYPE, lender.inquiry(TOKEN).encode(), STRANGER),
        Reason.SIGNATURE_MISSING,
    ),
    "a batch's payload type": (
        lambda lender: dsse.sign(batch.PAYLOAD_TYPE, lender.inquiry(TOKEN).encode(), lender.key),
        Reason.PAYLOAD_TYPE_MISMATCH,
    ),
    "another lender's": (
        lambda lender: lender.sign(lender.inquiry(TOKEN, lender="harbour")),
        Reason.LENDER_MISMATCH,
    ),
    "another network's": (
        lambda lender: lender.sign(lender.inquiry(TOKEN, network="elsewhere")),
        Reason.NETWORK_MISMATCH,
    ),
    "another gateway's": (
        lambda lender: lender.sign(lender.inquiry(TOKEN, audience="elsewhere")),
        Reason.AUDIENCE_MISMATCH,
    ),
    "wrong token epoch": (
        lambda lender: lender.sign(lender.inquiry(TOKEN, token_epoch=7)),
        Reason.TOKEN_EPOCH_MISMATCH,
    ),
    "expired": (lambda lender: lender.sign(expired(lender)), Reason.INQUIRY_EXPIRED),
    "clock far off": (lambda lender: lender.sign(from_the_future(lender)), Reason.CLOCK_SKEW),
    "a life too long": (
        lambda lender: raw_inquiry(
            lender, lambda m: setattr(m.expire_time, "seconds", m.expire_time.seconds + 3_600)
        ),
        Reason.INQUIRY_LIFE_TOO_LONG,
    ),
    "negative amount": (
        lambda lender: raw_inquiry(lender, lambda m: setattr(m, "amount_minor", -5)),
        Reason.AMOUNT_NEGATIVE,
    ),
    "unknown currency": (
        lambda lender: raw_inquiry(lender, lambda m: setattr(m, "currency", "ZZZ")),
        Reason.CURRENCY_UNKNOWN,
    ),
    "unknown purpose": (
        lambda lender: raw_inquiry(lender, lambda m: setattr(m, "purpose", 77)),
        Reason.ENUM_UNKNOWN,
    ),
    "no consent": (
        lambda lender: raw_inquiry(lender, lambda m: m.ClearField("consent_commitment")),
        Reason.FIELD_MISSING,
    ),
    "bytes that are no inquiry": (
        lambda lender: dsse.sign(PAYLOAD_TYPE, b"\xff\xff\xff", lender.key),
        Reason.MALFORMED,
    ),
}


@pytest.mark.parametrize("case", INQUIRIES)
async def test_a_bad_inquiry_is_refused_without_effect(town: Town, case: str) -> None:
    make, reason = INQUIRIES[case]
    before = snapshot(town)
    async with town.lotus.channel() as channel:
        assert await refusal(ask(channel, make(town.lotus))) is reason
    assert snapshot(town) == before


async def test_an_inquiry_is_answered_once(town: Town) -> None:
    first = town.lotus.inquiry(TOKEN)
    same_nonce = dataclasses.replace(first, amount_minor=first.amount_minor + 1)
    async with town.lotus.channel() as channel:
        await ask(channel, town.lotus.sign(first))
        before = snapshot(town)
        for inquiry in (first, same_nonce):
            envelope = town.lotus.sign(inquiry)
            assert await refusal(ask(channel, envelope)) is Reason.INQUIRY_REPLAYED
    assert snapshot(town) == before


async def test_a_call_without_a_deadline_is_refused(town: Town) -> None:
    sealed = town.lotus.seal()
    async with town.lotus.channel() as channel:
        stub = PublishingServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.PublishBatch(
                publishing_service_pb2.PublishBatchRequest(
                    statement=envelope_to_proto(sealed.envelope)
                )
            )
    assert from_rpc_error(refused.value).reason is Reason.DEADLINE_REQUIRED


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\x04\x0a\x02\xff\xfe"])
async def test_bytes_that_are_no_message_are_refused_with_a_reason(town: Town, data: bytes) -> None:
    """The second holds a payload type that is not UTF-8."""
    async with town.lotus.channel() as channel:
        call: Any = channel.unary_unary("/counterfoil.v1.AssessmentService/Assess")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(data, timeout=CALL_SECONDS)
    assert from_rpc_error(refused.value).reason is Reason.MALFORMED


async def test_an_empty_request_names_the_missing_field(town: Town) -> None:
    async with town.lotus.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await AssessmentServiceStub(channel).Assess(
                assessment_service_pb2.AssessRequest(), timeout=CALL_SECONDS
            )
    error = from_rpc_error(refused.value)
    assert (error.reason, error.field) == (Reason.FIELD_MISSING, "inquiry")


async def test_a_suspended_lender_may_neither_publish_nor_ask_until_it_is_reinstated(
    town: Town,
) -> None:
    module = "counterfoil_gateway.cli"
    folder = town.gateway.folder
    async with town.harbour.channel() as channel:
        command(module, "suspend", "--dir", folder, "--lender", "harbour", "--reason", "test")

        async def suspended() -> bool:
            try:
                await ask(channel, town.harbour.sign(town.harbour.inquiry(TOKEN)))
            except CounterfoilError as error:
                return error.reason is Reason.LENDER_SUSPENDED
            return False

        deadline = time.monotonic() + 10
        while not await suspended():
            assert time.monotonic() < deadline, "a running gateway obeys a suspension"
        before = snapshot(town)
        sealed = town.harbour.seal()
        assert await refusal(publish(channel, sealed)) is Reason.LENDER_SUSPENDED
        assert snapshot(town) == before
        command(module, "reinstate", "--dir", folder, "--lender", "harbour")
        wait_until(
            lambda: "active" in command(module, "members", "--dir", folder).stdout, "reinstated"
        )
        deadline = time.monotonic() + 10
        while await suspended():
            assert time.monotonic() < deadline, "a running gateway obeys a reinstatement"


async def test_a_stranger_without_a_certificate_does_not_get_in(town: Town) -> None:
    async with secure_channel(town.lotus.address, ca=town.lotus.ca) as channel:
        with pytest.raises(CounterfoilError) as refused:
            await publish(channel, town.lotus.seal())
    assert refused.value.reason is Reason.GATEWAY_UNREACHABLE


async def test_a_gateway_of_another_authority_is_not_believed(town: Town) -> None:
    """The client's side: a pinned CA that did not sign this server."""
    other = Authority.generate("test", datetime.now(UTC))
    lender = dataclasses.replace(town.lotus, ca=other.certificate_pem.encode())
    async with lender.channel() as channel:
        assert await refusal(publish(channel, lender.seal())) is Reason.GATEWAY_UNREACHABLE


def test_a_facility_in_the_table_is_one_that_the_gateway_would_take() -> None:
    """The table alters honest records: this one is honest."""
    assert exposure_codec.decode(record()).facilities == (
        plain_facility(application_reference=b"\x05" * 16),
    )


@pytest.mark.parametrize(
    ("network", "lender", "reason"),
    [
        ("test", "ghost", Reason.LENDER_UNKNOWN),
        ("elsewhere", "lotus", Reason.NETWORK_MISMATCH),
    ],
)
async def test_a_certificate_of_our_authority_alone_makes_nobody_a_member(
    town: Town, network: str, lender: str, reason: Reason
) -> None:
    """Who has stolen the CA's key gets through the handshake, and no further."""
    folder = Folder(town.gateway.folder)
    authority = Authority.load(folder.ca_certificate.read_bytes(), folder.ca_key.read_bytes())
    request, key = certificate_request()
    leaf = authority.issue_member(network, lender, request, datetime.now(UTC), timedelta(hours=1))
    intruder = dataclasses.replace(
        town.lotus, certificate=leaf.pem.encode(), tls_key=private_key_pem(key)
    )
    before = snapshot(town)
    async with intruder.channel() as channel:
        assert await refusal(publish(channel, intruder.seal((record(),)))) is reason
        envelope = intruder.sign(intruder.inquiry(TOKEN))
        assert await refusal(ask(channel, envelope)) is reason
    assert snapshot(town) == before
