"""Fixtures for pytest, which finds them if the package is installed.

This runs asynchronous tests in virtual time, with anyio's plugin, on every installed event loop::

    @pytest.fixture
    def anyio_backend(virtual_time):
        return virtual_time.anyio_backend

An asynchronous test that would run in real time although it uses ``virtual_time`` is an error.

A fixture imports `sse_middleware.testing` when it is used, so other tests don't pay for it.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

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
    """Return a function that opens a synchronous client of an application until the test's end.

    ``with sync_event_client(app) as client`` closes it at the end of the block.
    """
    from sse_middleware.testing.sync import OpenSyncEventClient  # noqa: PLC0415

    if "nothing_left_behind" in request.fixturenames:
        request.getfixturevalue("nothing_left_behind")  # so that it checks after the client's end
    with ExitStack() as stack:
        yield lambda *args, **options: stack.push(OpenSyncEventClient(*args, **options))


@pytest.fixture(params=_BACKENDS)
def virtual_time(request: pytest.FixtureRequest) -> "VirtualTime":
    """Return virtual time for each event loop. See the head of this module, and `VirtualTime`."""
    from sse_middleware.testing import UsageError, VirtualTime  # noqa: PLC0415

    if _is_asynchronous(request.node) and not _is_run_by_anyio(request.node):
        raise UsageError(f"this test would run in real time: {_CURE}")
    return VirtualTime(request.param)


@pytest.hookimpl(wrapper=True)  # anyio's own hook runs the test
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Refuse an asynchronous test that uses virtual time but runs in real time.

    Raises:
        UsageError: the fixture ``anyio_backend`` doesn't return what `VirtualTime` gives it.
    """
    time: Any = pyfuncitem.funcargs.get("virtual_time")
    if time is not None and _is_asynchronous(pyfuncitem):
        _check_backend(pyfuncitem.funcargs.get("anyio_backend"), time)
    return (yield)


_CURE = (
    "mark it with pytest.mark.anyio and not with another plugin's marker, and let the fixture "
    "anyio_backend return virtual_time.anyio_backend"
)


def _check_backend(backend: Any, time: "VirtualTime") -> None:
    from sse_middleware.testing import UsageError  # noqa: PLC0415

    name, options = backend if isinstance(backend, tuple) else (backend, {})
    if name != time.backend or not time.backend_options.items() <= options.items():
        raise UsageError(f"this test would run in real time, with the backend {name!r}: {_CURE}")


def _is_asynchronous(item: Any) -> bool:
    function = getattr(item, "obj", None)
    inner = getattr(getattr(function, "hypothesis", None), "inner_test", function)
    return iscoroutinefunction(inner)


def _is_run_by_anyio(item: pytest.Item) -> bool:
    other = item.get_closest_marker("asyncio") or item.get_closest_marker("trio")
    return other is None and "anyio_backend" in getattr(item, "fixturenames", ())


@pytest.fixture
def nothing_left_behind() -> Iterator[None]:
    """Fail the test if one of its tasks, generators or streams is still alive at its end."""
    from sse_middleware.testing import nothing_left_behind  # noqa: PLC0415

    with nothing_left_behind():
        yield
