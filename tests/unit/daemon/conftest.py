"""What several tests of the chassis need."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from unit.daemon.pki import Authority


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()
