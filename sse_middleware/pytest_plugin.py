"""Fixtures for pytest, which finds them if the package is installed.

This runs asynchronous tests in virtual time, with anyio's plugin, on every installed event loop::

    @pytest.fixture
    def anyio_backend(virtual_time):
        return virtual_time.backend, virtual_time.backend_options

A fixture imports `sse_middleware.testing` when it is used, so other tests don't pay for it.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sse_middleware.testing import EventClient, SyncEventClient, VirtualTime

_BACKENDS = ("asyncio", "trio") if find_spec("trio") else ("asyncio",)


@pytest.fixture
def event_client() -> "type[EventClient]":
    """Return `EventClient`, with which the test makes and enters a client of an application."""
    from sse_middleware.testing import EventClient  # noqa: PLC0415

    return EventClient


@pytest.fixture
def sync_event_client(
    request: pytest.FixtureRequest,
) -> "Iterator[Callable[..., SyncEventClient]]":
    """Return a function that opens a synchronous client of an application until the test's end."""
    from sse_middleware.testing import SyncEventClient  # noqa: PLC0415

    if "nothing_left_behind" in request.fixturenames:
        request.getfixturevalue("nothing_left_behind")  # so that it checks after the client's end
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(SyncEventClient(*args, **options))


@pytest.fixture(params=_BACKENDS)
def virtual_time(request: pytest.FixtureRequest) -> "VirtualTime":
    """Return virtual time for each event loop. See the head of this module, and `VirtualTime`."""
    from sse_middleware.testing import VirtualTime  # noqa: PLC0415

    return VirtualTime(request.param)


@pytest.fixture
def nothing_left_behind() -> Iterator[None]:
    """Fail the test if one of its tasks, generators or streams is still alive at its end."""
    from sse_middleware.testing import nothing_left_behind  # noqa: PLC0415

    with nothing_left_behind():
        yield
