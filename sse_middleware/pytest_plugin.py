"""Fixtures for pytest, found by themselves where the package is installed.

Asynchronous tests in virtual time, with anyio's plugin, on every event loop that is there::

    @pytest.fixture
    def anyio_backend(virtual_time):
        return virtual_time.backend, virtual_time.backend_options

The kit is imported when a fixture is used: other tests don't pay for it.
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
    """Make a client of an application: an `EventClient`, to be entered by the test."""
    from sse_middleware.testing import EventClient  # noqa: PLC0415

    return EventClient


@pytest.fixture
def sync_event_client(
    request: pytest.FixtureRequest,
) -> "Iterator[Callable[..., SyncEventClient]]":
    """Make a synchronous client of an application, open until the end of the test."""
    from sse_middleware.testing import SyncEventClient  # noqa: PLC0415

    if "nothing_left_behind" in request.fixturenames:
        request.getfixturevalue("nothing_left_behind")  # so that it looks after the client's end
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(SyncEventClient(*args, **options))


@pytest.fixture(params=_BACKENDS)
def virtual_time(request: pytest.FixtureRequest) -> "VirtualTime":
    """Virtual time on each event loop: see the head of this module, and `VirtualTime`."""
    from sse_middleware.testing import VirtualTime  # noqa: PLC0415

    return VirtualTime(request.param)


@pytest.fixture
def nothing_left_behind() -> Iterator[None]:
    """Fail the test if a task, a generator or a stream of it still lives at its end."""
    from sse_middleware.testing import nothing_left_behind  # noqa: PLC0415

    with nothing_left_behind():
        yield
