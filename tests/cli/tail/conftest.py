"""The command runs on asyncio, so its tests do."""

from typing import Any

import pytest

from sse_middleware.testing import VirtualTime


@pytest.fixture
def clock() -> VirtualTime:
    """Return the time of the test, for what has passed."""
    return VirtualTime("asyncio")


@pytest.fixture
def anyio_backend(clock: VirtualTime) -> Any:
    return clock.anyio_backend
