"""The handlers of signals are the same after each test as before."""

from collections.abc import Iterator

import pytest

from tests.shutdown.servers import Server, handlers, set_handlers


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = handlers()
    yield
    set_handlers(before)


@pytest.fixture
def server(_handlers: None) -> Iterator[Server]:
    """Serve during the test, and find the server's handlers in place after it."""
    server = Server()
    set_handlers([server.handle, server.handle])
    own = handlers()
    yield server
    assert all(now is then for now, then in zip(handlers(), own, strict=True))
