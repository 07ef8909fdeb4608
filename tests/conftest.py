"""Fixtures of every test: both event loops, in virtual time."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from sse_middleware.testing import VirtualTime


@pytest.fixture
def anyio_backend(virtual_time: VirtualTime) -> Any:
    """Run each asynchronous test on both event loops, where an hour passes in no time."""
    return virtual_time.anyio_backend


@pytest.fixture(scope="session", autouse=True)
def _what_was_imported_is_not_looked_at() -> Iterator[None]:
    """Spare the garbage collector, and who asks it for all objects, the modules."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
