"""Fixtures of every test: both event loops, in real or in virtual time."""

from typing import Any

import pytest

from tests.virtual_time import IDS, backends


@pytest.fixture(params=backends(), ids=IDS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Run each asynchronous test on both event loops, where an hour passes in no time."""
    return request.param
