"""Redis does what every store does."""

import pytest

from tests.hub.test_contract import TestAppend, TestKeep, TestListen, TestRead, TestRun

__all__ = ["TestAppend", "TestKeep", "TestListen", "TestRead", "TestRun"]

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]
