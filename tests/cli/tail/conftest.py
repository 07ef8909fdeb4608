"""The command runs on asyncio, so its tests do. A server of faults for those that run it."""

from collections.abc import Iterator
from typing import Any

import pytest

from sse_middleware.testing import VirtualTime
from tests.client.fault_server import FaultServer, fault_server


@pytest.fixture
def anyio_backend() -> Any:
    return VirtualTime("asyncio").anyio_backend


@pytest.fixture(scope="package")
def server() -> Iterator[FaultServer]:
    with fault_server() as server:
        yield server
