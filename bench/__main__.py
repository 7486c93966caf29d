"""`python -m bench`: measures everything and reports."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Benchmarks drive real daemons by the same helpers as the tests.
sys.path.insert(0, str(ROOT / "tests"))

from support.gateways import GatewayProcess, enrol  # noqa: E402

from . import assessing, publishing, tokenising  # noqa: E402
from .harness import Figure, progress, report  # noqa: E402

LENDERS = 3


async def measure(folder: Path) -> list[Figure]:
    """Every figure, on one gateway process with three lenders."""
    figures = [await tokenising.measure()]
    gateway = GatewayProcess(folder / "gateway")
    gateway.init()
    gateway.start()
    try:
        lenders = []
        for number in range(LENDERS):
            invitation = gateway.admit(f"lender-{number}", evaluator=number == 0)
            lenders.append(await enrol(invitation, evaluator=number == 0))
        channels = [lender.channel() for lender in lenders]
        try:
            progress("data for assessing")
            await assessing.prepare(list(zip(lenders, channels, strict=True)))
            figures += await assessing.measure(lenders[0], channels[0])
            progress("data for publishing")
            figures.append(await publishing.measure(lenders[0], channels[0], folder))
        finally:
            for channel in channels:
                await channel.close()
    finally:
        gateway.stop()
    return figures


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="counterfoil-bench-") as folder:
        figures = asyncio.run(measure(Path(folder)))
    report(figures, ROOT / "bench" / "results" / "latest.json")


if __name__ == "__main__":
    main()
