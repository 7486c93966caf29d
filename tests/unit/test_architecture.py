"""The house: who may import whom (docs/architecture)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "counterfoil": ROOT / "core" / "counterfoil",
    "counterfoil_daemon": ROOT / "daemon" / "counterfoil_daemon",
    "counterfoil_gateway": ROOT / "gateway" / "counterfoil_gateway",
    "counterfoil_node": ROOT / "node" / "counterfoil_node",
}
FORBIDDEN = {
    "counterfoil": {"counterfoil_daemon", "counterfoil_gateway", "counterfoil_node"},
    "counterfoil_daemon": {"counterfoil_gateway", "counterfoil_node"},
    "counterfoil_gateway": {"counterfoil_node"},
    "counterfoil_node": {"counterfoil_gateway"},
}


def imported(path: Path) -> set[str]:
    """Top-level names that a module imports by absolute import."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_imports_one_that_it_must_not_know(package: str) -> None:
    modules = list(PACKAGES[package].rglob("*.py"))
    assert modules
    for module in modules:
        assert not imported(module) & FORBIDDEN[package], module.name


def test_the_risk_engine_is_pure() -> None:
    """No I/O, no clock, no randomness, no protobuf below gateway/risk."""
    impure = {"os", "io", "time", "random", "secrets", "asyncio", "sqlite3", "grpc", "google"}
    modules = list((PACKAGES["counterfoil_gateway"] / "risk").rglob("*.py"))
    assert modules
    for module in modules:
        assert not imported(module) & impure, module.name


def test_generated_protobuf_stops_at_the_adapters() -> None:
    """Only core's codecs and the services and clients of the daemons touch generated stubs."""
    for package in ("counterfoil_gateway", "counterfoil_node"):
        for module in PACKAGES[package].rglob("*.py"):
            place = module.relative_to(PACKAGES[package])
            if place.parts[0] == "services" or place.name in ADAPTERS:
                continue
            assert "_pb2" not in module.read_text(encoding="utf-8"), place


ADAPTERS = {"gateway_client.py", "desk_client.py", "enrol.py", "server.py"}
