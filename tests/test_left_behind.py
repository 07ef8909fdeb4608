"""An application that was drained, and then is dropped, leaves nothing behind in its process."""

import gc
import signal
from collections.abc import Iterator
from weakref import ref

import anyio
import pytest

from sse_middleware.registry import Policy, Registries, Registry, Slot

SIGNALS = (signal.SIGTERM, signal.SIGINT)

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _server() -> Iterator[None]:
    """Handle the signals as a server does."""
    before = [signal.getsignal(number) for number in SIGNALS]
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    yield
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)


async def test_who_has_drained_listens_no_longer_for_the_end_of_the_server() -> None:
    registry = Registry(Policy())
    own = [signal.getsignal(number) for number in SIGNALS]
    slot = registry.enter(None, None)
    assert isinstance(slot, Slot)
    laid = [signal.getsignal(number) for number in SIGNALS]
    assert all(now is not then for now, then in zip(laid, own, strict=True))

    registry.begin_drain()
    slot.give_back()
    with anyio.fail_after(1):
        await registry.drain()

    assert all(signal.getsignal(number) is then for number, then in zip(SIGNALS, own, strict=True))


async def test_the_registry_of_a_dropped_application_ends_before_its_event_loop() -> None:
    registries = Registries(Policy())
    registry = registries.current()
    assert registries.current() is registry
    kept = ref(registry)

    del registries, registry
    gc.collect()

    assert kept() is None
