"""The composition root of the daemon: everything is made here, and nothing is decided."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import grpc
import structlog
from prometheus_client import CollectorRegistry, Gauge

from counterfoil.errors import CounterfoilError, Reason
from counterfoil.timestamps import seconds
from counterfoil.v1 import desk_service_pb2
from counterfoil.v1.desk_service_pb2_grpc import add_DeskServiceServicer_to_server
from counterfoil_daemon.edge import Edge
from counterfoil_daemon.files import durable_write
from counterfoil_daemon.lifecycle import FolderLock, Stop
from counterfoil_daemon.server import Check, Readiness, bind, drain, enable_reflection, make_server
from counterfoil_daemon.web import Web

from .book import Book
from .certificate import certificate_request, life_of, renewal_due
from .config import Settings
from .desk import Desk
from .enrol import book_settings
from .evaluating import EvaluatingLoop
from .evaluator import Evaluator, MemberKeys, Share
from .folder import NodeFolder
from .gateway_client import GatewayClient
from .link import Link
from .outbox import Party, Publisher
from .publishing import PublishingLoop
from .services.desk import DeskService
from .standing import NodeStanding, StandingOf, standing_of
from .store.evaluations import EvaluationLedger, Quota
from .store.tokens import TokenCache
from .tokens import Asker, SingleEvaluator, Tokens

DRAIN_SECONDS = 10.0
"""How long calls under way may take when the daemon ends."""

LINK_SECONDS = 5.0
"""How often the gateway is asked for the network's facts."""

RENEWAL_SECONDS = 3600.0
"""How often the certificate's age is looked at."""

FIRST_EPOCH = 1
"""The token epoch of a network's first evaluator."""

log = structlog.get_logger()


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


def _checks(book: Book, link: Link, evaluating: EvaluatingLoop | None) -> dict[str, Check]:
    """What must hold for the node to do its work."""

    async def writable() -> None:
        if book.database.failed:
            raise CounterfoilError(Reason.STORE_FAILED, "the book's database failed")
        await book.position()

    async def linked() -> None:
        if not link.reachable:
            raise CounterfoilError(Reason.GATEWAY_UNREACHABLE, "the gateway does not answer")

    async def has_epoch() -> None:
        link.require_epoch()

    async def evaluates() -> None:
        if evaluating is not None and not evaluating.serving:
            raise CounterfoilError(Reason.EVALUATOR_UNAVAILABLE, "the stream is not open")

    return {"book": writable, "gateway": linked, "token_epoch": has_epoch, "evaluator": evaluates}


class Node:
    """A running node. `serve` is its life."""

    def __init__(
        self,
        folder: NodeFolder,
        settings: Settings,
        now: Callable[[], datetime] = utc_now,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._now = now
        self._random_bytes = random_bytes

    async def serve(self, stop: Stop) -> None:
        """Starts, works until `stop`, drains. Raises CounterfoilError when the start is refused."""
        folder, settings = self._folder, self._settings
        folder.require_all(evaluator=settings.node.evaluator)
        if folder.next_record_key_file.exists():
            raise CounterfoilError(
                Reason.CONFIG_INVALID,
                "a key rotation was cut off: run `counterfoil-node rotate-key` again",
                field="record.key.next",
            )
        async with AsyncExitStack() as stack:
            stack.enter_context(FolderLock(folder.path))
            await self._serve(stop, stack)

    async def _serve(self, stop: Stop, stack: AsyncExitStack) -> None:
        folder, settings = self._folder, self._settings
        timeout = settings.gateway.timeout_seconds
        record_key = folder.record_key()
        secret = folder.evaluator_secret() if settings.node.evaluator else b""
        vault = folder.vault(self._random_bytes)
        pinned = folder.pinned()
        book = await Book.open(folder.database, vault, book_settings(settings), self._random_bytes)
        stack.push_async_callback(book.close)
        book.database.on_failure = lambda: stop.fail("the book's database failed")
        client = GatewayClient(settings.gateway.address or pinned.gateway_address, folder.tls)
        stack.push_async_callback(client.close)
        link = Link(folder, pinned, client, secret)
        network, lender = pinned.network, settings.node.lender
        tokens = Tokens(
            TokenCache(book.database, vault),
            vault,
            client,
            Asker(network.network, lender, lambda: record_key),
            SingleEvaluator(),
            self._now,
            self._random_bytes,
        )
        party = Party(network.network, network.gateway, lender, link.answer_key, lambda: record_key)
        publishing = PublishingLoop(
            book,
            Publisher(book, client, party, self._now, timeout),
            tokens,
            link,
            settings.publishing,
            timeout,
        )
        desk = Desk(
            book,
            tokens,
            client,
            link,
            lambda: record_key,
            self._now,
            settings.desk.margin_ms / 1000,
        )
        stack.push_async_callback(desk.close)
        evaluating = self._evaluating(book, client, link, secret) if secret else None
        registry = CollectorRegistry()
        readiness = Readiness(_checks(book, link, evaluating))

        async def standing() -> NodeStanding:
            return await standing_of(folder, book, link.reachable)

        edge = Edge(registry, max_in_flight=settings.desk.max_in_flight)
        server = make_server(edge)
        add_DeskServiceServicer_to_server(
            DeskService(desk, standing, settings.node.time_zone), server
        )
        readiness.add_to(server)
        if settings.desk.reflection:
            name = desk_service_pb2.DESCRIPTOR.services_by_name["DeskService"].full_name
            enable_reflection(server, [name])
        address = self._bind(server)
        await server.start()
        if not settings.desk.listen:
            folder.desk_socket.chmod(0o600)
        web = Web(settings.web.listen, registry, readiness)
        await web.start()
        stack.push_async_callback(web.stop)
        stop.on_reload(client.reload)
        meters = Meters(registry)
        stop.supervise("publishing", publishing.run(stop))
        stop.supervise("link", self._keep_link(stop, link, meters, standing))
        stop.supervise("readiness", readiness.watch(stop))
        stop.supervise("renewal", self._keep_certificate(stop, client))
        if evaluating is not None:
            stop.supervise("evaluating", evaluating.run(stop))
            stop.supervise("members", evaluating.keep_members(stop))
        log.info("serving", lender=lender, network=network.network, desk=address, web=web.port)
        await stop.wait()
        await drain([server], DRAIN_SECONDS)
        await stop.end_tasks()

    def _bind(self, server: grpc.aio.Server) -> str:
        """The desk's socket, 0600 in a folder of 0700; or a loopback port by setting."""
        listen = self._settings.desk.listen
        if listen:
            port = bind(server, listen)
            return f"{listen.rpartition(':')[0]}:{port}"
        path = self._folder.desk_socket
        # The folder's lock is ours: a socket that is there was left by a process that is gone.
        path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            bind(server, self._folder.desk_target)
        finally:
            os.umask(mask)
        return path.name

    def _evaluating(
        self, book: Book, client: GatewayClient, link: Link, secret: bytes
    ) -> EvaluatingLoop:
        settings = self._settings
        members = MemberKeys()
        network = link.pinned.network
        share = Share(network.token_epoch or FIRST_EPOCH, SingleEvaluator.generation, secret)
        quota = Quota(
            settings.evaluator.lender_daily_elements, settings.evaluator.network_daily_elements
        )
        evaluator = Evaluator(
            network.network,
            settings.node.lender,
            share,
            members,
            EvaluationLedger(book.database, quota),
            self._now,
        )
        return EvaluatingLoop(
            evaluator,
            members,
            client,
            link,
            settings.evaluator,
            settings.publishing,
            settings.gateway.timeout_seconds,
        )

    async def _keep_link(
        self, stop: Stop, link: Link, meters: Meters, standing: StandingOf
    ) -> None:
        """Notices a gateway that comes and goes, and what changed about the network."""
        reported: Reason | None = None
        while not stop.asked:
            try:
                await link.refresh(min(LINK_SECONDS, self._settings.gateway.timeout_seconds))
                reported = None
            except CounterfoilError as error:
                if error.reason is not reported:
                    log.warning("network_not_refreshed", reason=error.reason.value)
                reported = error.reason
            meters.tell(await standing())
            await stop.wait(LINK_SECONDS)

    async def _keep_certificate(self, stop: Stop, client: GatewayClient) -> None:
        """Renews the certificate in time."""
        while not stop.asked:
            if renewal_due(self._folder.tls.certificate, self._now()):
                try:
                    await renew_certificate(self._folder, self._settings, client)
                    client.reload()
                except CounterfoilError as error:
                    log.error("certificate_not_renewed", reason=error.reason.value)
            await stop.wait(RENEWAL_SECONDS)


class Meters:
    """What /metrics tells of the book."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"counterfoil_node_{name}", text, registry=registry)

        self._reachable = gauge("gateway_reachable", "1 when the gateway answers")
        self._loans = gauge("loans", "Loans in the book")
        self._borrowers = gauge("borrowers", "Borrowers in the book")
        self._pending = gauge("pending_borrowers", "Borrowers to be published")
        self._outbox = gauge("outbox_batches", "Batches without a receipt")
        self._sequence = gauge("acknowledged_sequence", "Last acknowledged batch")
        self._complete = gauge("complete_as_of_seconds", "Published as complete up to (Unix time)")
        self._expire = gauge("certificate_expire_seconds", "When the certificate lapses")

    def tell(self, standing: NodeStanding) -> None:
        """Sets the gauges."""
        self._reachable.set(standing.gateway_reachable)
        self._loans.set(standing.counts.loans)
        self._borrowers.set(standing.counts.borrowers)
        self._pending.set(standing.counts.pending_borrowers)
        self._outbox.set(standing.counts.outbox_batches)
        self._sequence.set(standing.acknowledged_sequence)
        self._complete.set(standing.published_complete_as_of or 0)
        self._expire.set(standing.certificate_expire or 0)


async def renew_certificate(
    folder: NodeFolder, settings: Settings, client: GatewayClient
) -> datetime:
    """Has a new certificate made for the node's TLS key; returns when it lapses."""
    request = certificate_request(folder.tls.key, settings.node.lender)
    pem = await client.renew_certificate(request, settings.gateway.timeout_seconds)
    durable_write(folder.tls.certificate, pem.encode("ascii"), mode=0o644, replace=True)
    end = life_of(folder.tls.certificate)[1]
    log.info("certificate_renewed", expire=seconds(end))
    return end
