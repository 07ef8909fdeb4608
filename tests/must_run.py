"""Whether a test may be skipped because something is not installed.

In CI, or with ``ALL_CLIENTS``, it may not: what is missing fails the test.
"""

import os
from typing import NoReturn

import pytest

MUST_RUN = not os.environ.keys().isdisjoint({"ALL_CLIENTS", "CI"})


def missing(what: str) -> NoReturn:
    """Skip the test, or fail it."""
    (pytest.fail if MUST_RUN else pytest.skip)(f"there is no {what}")
