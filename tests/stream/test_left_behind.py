"""Streams and applications that have ended leave nothing behind in their process."""

import gc
import signal
from collections.abc import Iterator
from contextlib import suppress
from weakref import ref

import anyio
import pytest
from starlette.types import Message

from sse_middleware import EncodingError, EventSourceResponse, SSEMiddleware
from sse_middleware.registry.registry import Registries, Registry, Slot
from sse_middleware.settings import Policy
from sse_middleware.wire.compression import CODECS

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

    registry.drain.begin()
    slot.give_back()
    with anyio.fail_after(1):
        await registry.drain.run()

    assert all(signal.getsignal(number) is then for number, then in zip(SIGNALS, own, strict=True))


async def test_the_registry_of_a_dropped_application_ends_before_its_event_loop() -> None:
    registries = Registries(Policy())
    registry = registries.current()
    assert registries.current() is registry
    kept = ref(registry)

    del registries, registry
    gc.collect()

    assert kept() is None


def contexts() -> int:
    """Count the compression contexts that are alive."""
    kinds = tuple(CODECS.values())
    return sum(type(thing) in kinds for thing in gc.get_objects())


@pytest.mark.parametrize("content", [[1, 2, 3], [object()]], ids=["finishes", "fails"])
@pytest.mark.parametrize("codec", CODECS)
async def test_a_stream_doesnt_leave_its_context_to_the_garbage_collector(
    codec: str, content: list[object]
) -> None:
    response = EventSourceResponse(content, compression=[codec])
    app = SSEMiddleware(response, drain=False)
    seen = []

    async def receive() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    async def send(_: Message) -> None:
        seen.append(contexts())

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [(b"accept-encoding", codec.encode())],
    }
    gc.collect()
    gc.disable()
    try:
        with suppress(EncodingError):
            await app(scope, receive, send)
        assert contexts() == 0
    finally:
        gc.enable()
    assert set(seen) == ({1} if content == [1, 2, 3] else set())
