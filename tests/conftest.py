"""Fixtures of every test: both event loops, in real or in virtual time."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from tests.virtual_time import IDS, backends


@pytest.fixture(params=backends(), ids=IDS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Run each asynchronous test on both event loops, where an hour passes in no time."""
    return request.param


@pytest.fixture(scope="session", autouse=True)
def _what_was_imported_is_not_looked_at() -> Iterator[None]:
    """Spare the garbage collector, and who asks it for all objects, the modules."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
