"""Fixtures of every test: both event loops, in virtual time."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from sse_middleware.testing import VirtualTime

# Hypothesis makes its tables of characters for the first text of a fresh clone, which is slow. How
# long an example takes is the machine's.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


@pytest.fixture
def anyio_backend(virtual_time: VirtualTime) -> Any:
    """Run each asynchronous test on both event loops, where an hour passes in no time."""
    return virtual_time.anyio_backend


@pytest.fixture(scope="session", autouse=True)
def _frozen_objects() -> Iterator[None]:
    yield
    gc.unfreeze()


@pytest.fixture(scope="module", autouse=True)
def _objects_of_other_modules_are_not_scanned(_frozen_objects: None) -> None:
    """Hide everything that is alive before a module of tests from the garbage collector.

    `nothing_left_behind` scans all objects that the collector knows. Modules, test items and
    reports are many, and no test creates them.
    """
    gc.collect()
    gc.freeze()
