"""A watch over warnings."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Allow no warning that the tests of a module don't expect."""
    yield
    known = (
        "is encoded",
        "Content-Encoding",
        "dropped",
        "malformed",
        "not text",
        "cleanup_timeout",
    )
    unknown = [one.message for one in caplog.records if one.levelno >= logging.WARNING]
    assert not [text for text in unknown if not any(word in text for word in known)]
