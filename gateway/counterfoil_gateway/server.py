"""Composition root: wires the gateway together and runs it to its end."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram

from counterfoil import dsse, wire
from counterfoil.errors import CounterfoilError, Reason
from counterfoil.timestamps import from_micros, micros
from counterfoil.v1 import (
    assessment_service_pb2_grpc,
    evaluation_service_pb2_grpc,
    membership_service_pb2_grpc,
    publishing_service_pb2_grpc,
)
from counterfoil_daemon.edge import Edge
from counterfoil_daemon.files import require_file
from counterfoil_daemon.lifecycle import FolderLock, Stop
from counterfoil_daemon.server import (
    Readiness,
    ReloadingCredentials,
    bind,
    drain,
    enable_reflection,
    make_server,
)
from counterfoil_daemon.settings import split_address
from counterfoil_daemon.web import Web

from .assess import Assessor
from .authority import not_after
from .config import Folder, Settings
from .ingest import Ingest
from .membership import Membership
from .relay import Relay
from .risk import policy as risk_policy
from .services.assessment import AssessmentService
from .services.evaluation import EvaluationService
from .services.membership import EnrolmentService, MembershipService
from .services.publishing import PublishingService
from .setup import load_answer_key, load_authority
from .store import values as v
from .store.base import Store
from .store.sqlite import SqliteStore

log = structlog.get_logger()

POLICY_PAYLOAD_TYPE = "application/vnd.counterfoil.policy.v1+toml"
"""A policy entry holds the policy file's exact bytes, signed by the gateway."""

MAX_ENROLMENTS_IN_FLIGHT = 8
"""Calls at once on the enrolment port, whose callers have no certificate yet."""

MEMBER_SERVICES = (
    "counterfoil.v1.PublishingService",
    "counterfoil.v1.AssessmentService",
    "counterfoil.v1.MembershipService",
    "counterfoil.v1.EvaluationService",
)
ENROLMENT_SERVICES = ("counterfoil.v1.EnrolmentService",)


def utc_now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Gateway:
    """The gateway's parts without any port: what a test or a simulation drives directly."""

    identity: v.Identity
    membership: Membership
    ingest: Ingest
    assessor: Assessor
    relay: Relay


async def assemble(folder: Folder, settings: Settings, store: Store) -> Gateway:
    """Wires the parts over an open store. Logs the policy in force if it is new."""
    identity = await store.identity()
    answer_key = load_answer_key(folder, identity)
    policy_bytes = require_file(folder.policy).read_bytes()
    policy = risk_policy.load(policy_bytes)
    membership = Membership(
        identity=identity,
        store=store,
        authority=load_authority(folder),
        now=utc_now,
        certificate_validity=timedelta(days=settings.serve.certificate_days),
        policy=lambda: (policy.version, policy.hash),
    )
    envelope = dsse.sign(POLICY_PAYLOAD_TYPE, policy_bytes, answer_key)
    await store.log_policy(
        v.LoggedPolicy(
            policy_hash=hashlib.sha256(policy_bytes).digest(),
            version=policy.version,
            envelope=wire.envelope_to_bytes(envelope),
            received_us=micros(utc_now()),
        )
    )
    await membership.refresh()
    return Gateway(
        identity=identity,
        membership=membership,
        ingest=Ingest(
            identity=identity,
            store=store,
            membership=membership,
            answer_key=answer_key,
            now=utc_now,
        ),
        assessor=Assessor(
            identity=identity,
            store=store,
            membership=membership,
            policy=policy,
            answer_key=answer_key,
            now=utc_now,
            random_bytes=os.urandom,
        ),
        relay=Relay(membership),
    )


async def serve(folder: Folder, settings: Settings, stop: Stop) -> None:
    """Serves until asked to stop. Refuses to start on missing files or a held folder."""
    folder.require()
    with FolderLock(folder.path):
        registry = CollectorRegistry()
        commits = Histogram(
            "counterfoil_commit_seconds", "Time of a durable transaction", registry=registry
        )
        commands = Counter(
            "counterfoil_commit_commands", "Commands in durable transactions", registry=registry
        )

        def observe(seconds: float, count: int) -> None:
            commits.observe(seconds)
            commands.inc(count)

        store = await SqliteStore.open(
            folder.store,
            on_failure=lambda error: stop.fail("the store failed", error),
            on_commit=observe,
        )
        try:
            gateway = await assemble(folder, settings, store)
            await _serve(folder, settings, stop, store, gateway, registry)
        finally:
            await store.close()


async def _serve(
    folder: Folder,
    settings: Settings,
    stop: Stop,
    store: Store,
    gateway: Gateway,
    registry: CollectorRegistry,
) -> None:
    network = gateway.identity.network
    edge = Edge(registry, max_in_flight=settings.serve.max_in_flight)
    credentials = ReloadingCredentials(folder.tls, require_client=True)
    enrol_credentials = ReloadingCredentials(folder.tls, require_client=False)
    stop.on_reload(credentials.reload)
    stop.on_reload(enrol_credentials.reload)

    members = make_server(edge)
    publishing_service_pb2_grpc.add_PublishingServiceServicer_to_server(
        PublishingService(network, gateway.ingest), members
    )
    assessment_service_pb2_grpc.add_AssessmentServiceServicer_to_server(
        AssessmentService(network, gateway.assessor), members
    )
    membership_service_pb2_grpc.add_MembershipServiceServicer_to_server(
        MembershipService(network, gateway.membership), members
    )
    evaluation_service_pb2_grpc.add_EvaluationServiceServicer_to_server(
        EvaluationService(network, gateway.relay), members
    )
    # Anybody may call this port: what it is flooded with must not cost members their calls.
    enrolment = make_server(edge.with_own_limit(MAX_ENROLMENTS_IN_FLIGHT))
    membership_service_pb2_grpc.add_EnrolmentServiceServicer_to_server(
        EnrolmentService(gateway.membership), enrolment
    )

    async def certificate_valid() -> None:
        if not_after(folder.tls.certificate.read_bytes()) <= utc_now():
            raise CounterfoilError(Reason.CONFIG_INVALID, "the server's certificate has lapsed")

    readiness = Readiness({"store": store.check_writable, "certificate": certificate_valid})
    readiness.add_to(members, MEMBER_SERVICES)
    readiness.add_to(enrolment, ENROLMENT_SERVICES)
    if settings.serve.reflection:
        enable_reflection(members, MEMBER_SERVICES)
        enable_reflection(enrolment, ENROLMENT_SERVICES)
    ports = {
        "grpc": bind(members, settings.listen.grpc, credentials.credentials),
        "enrol": bind(enrolment, settings.listen.enrol, enrol_credentials.credentials),
    }
    web = Web(settings.listen.web, registry, readiness)
    await web.start()
    try:
        await members.start()
        await enrolment.start()
        stop.supervise("membership", gateway.membership.watch(stop))
        await readiness.judge()
        stop.supervise("readiness", readiness.watch(stop))
        log.info(
            "serving",
            network=network,
            gateway=gateway.identity.gateway,
            created=from_micros(gateway.identity.created_us).isoformat(),
            web=web.port,
            **ports,
        )
        await stop.wait()
        gateway.relay.close()
        await drain([members, enrolment], settings.serve.drain_seconds)
    finally:
        await web.stop()


def advertised(settings: Settings, address: str) -> str:
    """How members reach a port that is listened on at `address`."""
    return f"{settings.listen.advertise}:{split_address(address, 'listen')[1]}"
