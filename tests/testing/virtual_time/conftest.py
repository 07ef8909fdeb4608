"""Virtual time on each event loop."""

import pytest

from sse_middleware.testing.virtual_time.clock import VirtualTime


@pytest.fixture(params=["asyncio", "trio"])
def time(request: pytest.FixtureRequest) -> VirtualTime:
    return VirtualTime(request.param)


@pytest.fixture(params=["asyncio", "trio"])
def hasty(request: pytest.FixtureRequest) -> VirtualTime:
    """Virtual time that doesn't wait for other threads before it reports a deadlock."""
    return VirtualTime(request.param, grace=0)


@pytest.fixture
def asyncio_time() -> VirtualTime:
    return VirtualTime("asyncio")


@pytest.fixture
def trio_time() -> VirtualTime:
    return VirtualTime("trio")
