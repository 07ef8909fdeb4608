"""Fixtures of every test: both event loops, in virtual time."""

from typing import Any

import pytest

from sse_middleware.testing import VirtualTime


@pytest.fixture
def anyio_backend(virtual_time: VirtualTime) -> Any:
    """Run each asynchronous test on both event loops, where an hour passes in no time."""
    return virtual_time.anyio_backend
