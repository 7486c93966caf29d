"""assess_N: signed inquiries answered over mTLS with N in flight, against an empty unary call with
the same client on the same server (gRPC's own health check). Inquiries are signed beforehand."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Iterator
from time import perf_counter

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from counterfoil.dsse import Envelope
from support.gateways import Lender, ask, publish

from .harness import Figure, compare
from .market import record_of, token_of

BORROWERS = 2_000
FIRST_BORROWER = 10_000_000
"""Apart from the borrowers of the publishing benchmark."""
CALLS = 600
REPEATS = 3
IN_FLIGHT = (1, 16, 64)


async def prepare(lenders: list[tuple[Lender, grpc.aio.Channel]]) -> None:
    """Publishes every borrower at every lender."""
    for place, (lender, channel) in enumerate(lenders):
        for start in range(0, BORROWERS, 1_000):
            records = tuple(
                record_of(FIRST_BORROWER + start + i, place, lender.as_of) for i in range(1_000)
            )
            batch = lender.seal(records)
            await publish(channel, batch)
            lender.accepted(batch)


async def spread(count: int, in_flight: int, call: Callable[[], Awaitable[object]]) -> list[float]:
    """Makes calls with so many in flight; returns each one's seconds."""
    left = count
    times: list[float] = []

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            start = perf_counter()
            await call()
            times.append(perf_counter() - start)

    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return times


def inquiries_of(lender: Lender, count: int) -> Iterator[Envelope]:
    """Signed inquiries about one borrower after the other."""
    signed = [
        lender.sign(lender.inquiry(token_of(FIRST_BORROWER + number % BORROWERS)))
        for number in range(count)
    ]
    return iter(signed)


async def measure(lender: Lender, channel: grpc.aio.Channel) -> list[Figure]:
    """Calls a second with each number in flight, and latencies."""
    figures: list[Figure] = []
    for in_flight in IN_FLIGHT:
        figures += await _with_in_flight(lender, channel, in_flight)
    return figures


async def _with_in_flight(
    lender: Lender, channel: grpc.aio.Channel, in_flight: int
) -> list[Figure]:
    health = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest()
    ready = [inquiries_of(lender, CALLS) for _ in range(REPEATS + 1)]
    times: list[float] = []

    async def run() -> int:
        inquiries = ready.pop()
        times.extend(await spread(CALLS, in_flight, lambda: ask(channel, next(inquiries))))
        return CALLS

    async def bare() -> int:
        await spread(CALLS, in_flight, lambda: health.Check(request, timeout=20))
        return CALLS

    name = f"assess_{in_flight}"
    figure = await compare(name, "calls/s", run, bare, repeats=REPEATS)
    cuts = statistics.quantiles(times[CALLS:], n=100)  # The first run was the warm-up.
    return [
        figure,
        Figure(f"{name}_p50", round(cuts[49] * 1_000, 2), "ms"),
        Figure(f"{name}_p99", round(cuts[98] * 1_000, 2), "ms"),
    ]
