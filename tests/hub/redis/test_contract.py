"""Redis does what every store does."""

import pytest

from tests.hub.test_contract import TestAppend, TestKeep, TestLease, TestListen, TestRead

__all__ = ["TestAppend", "TestKeep", "TestLease", "TestListen", "TestRead"]

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]
