"""`max_delay`: events wait for others, to be sent with them."""

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from sse_middleware import CloseReason, EventSourceResponse, ServerSentEvent, SSEMiddleware
from sse_middleware.stream import outbox
from tests.served import OopsError, chunks_of

pytestmark = pytest.mark.anyio

DELAY = 0.045


@pytest.fixture(autouse=True)
def _virtual_time_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an outbox see that virtual time passes, as real time does between two events."""
    in_thread = time.monotonic

    def now() -> float:
        try:
            return anyio.current_time()
        except RuntimeError:  # this is a worker thread
            return in_thread()

    monkeypatch.setattr(outbox, "monotonic", now)


async def tokens(count: int, pause: float = 0.01) -> AsyncIterator[int]:
    for number in range(count):
        yield number
        await anyio.sleep(pause)


async def messages_of(app: Any) -> list[tuple[float, bytes]]:
    """Return each message, and after how many milliseconds it was sent."""
    begin = anyio.current_time()
    async with chunks_of(app) as chunks:
        return [(round(1000 * (anyio.current_time() - begin)), chunk) async for chunk in chunks]


def events(*numbers: int) -> bytes:
    return b"".join(b"data: %d\n\n" % number for number in numbers)


async def test_events_wait_for_others_but_the_first_does_not() -> None:
    app = EventSourceResponse(tokens(12), max_delay=DELAY)
    assert await messages_of(app) == [
        (0, events(0)),
        (55, events(1, 2, 3, 4, 5)),
        (105, events(6, 7, 8, 9, 10)),
        (120, events(11)),
    ]


async def test_a_lone_event_waits_as_long_and_no_longer() -> None:
    app = EventSourceResponse(tokens(3, pause=1), max_delay=DELAY)
    sent = [moment for moment, _ in await messages_of(app)]
    assert sent == [0, 1045, 2045]


async def test_the_end_does_not_wait() -> None:
    async def two() -> AsyncIterator[int]:
        yield 0
        await anyio.sleep(1)
        yield 1

    assert await messages_of(EventSourceResponse(two(), max_delay=60)) == [
        (0, events(0)),
        (1000, events(1)),
    ]


async def test_an_error_does_not_wait() -> None:
    async def failing() -> AsyncIterator[int]:
        yield 0
        await anyio.sleep(1)
        yield 1
        raise OopsError

    def oops(_: Exception) -> ServerSentEvent:
        return ServerSentEvent(data="oops")

    app = EventSourceResponse(failing(), max_delay=60, error_event=oops)
    async with chunks_of(app) as chunks:
        begin = anyio.current_time()
        assert await anext(chunks) == events(0)
        assert await anext(chunks) == events(1) + b'data: "oops"\n\n'
        assert anyio.current_time() - begin == pytest.approx(1, abs=0.001)
        with pytest.raises(OopsError):
            await anext(chunks)


async def test_a_farewell_does_not_wait() -> None:
    async def endless() -> AsyncIterator[int]:
        yield 0
        await anyio.sleep(9)
        yield 1
        await anyio.sleep_forever()

    def bye(_: CloseReason) -> ServerSentEvent:
        return ServerSentEvent(data="bye")

    limits: Any = {"max_delay": 60, "max_duration": 10, "ping_interval": None}
    app = EventSourceResponse(endless(), farewell=bye, **limits)
    [first, (moment, last)] = await messages_of(app)
    assert first == (0, events(0))
    assert last == events(1) + b'data: "bye"\n\n'
    assert 9000 <= moment <= 10_000


async def test_a_keep_alive_takes_what_waits_with_it() -> None:
    app = EventSourceResponse(tokens(2, pause=4), max_delay=60, ping_interval=5)
    sent = await messages_of(app)
    assert b"".join(chunk for _, chunk in sent).replace(b": ping\n\n", b"") == events(0, 1)
    assert sent[1][0] <= 5000


@pytest.mark.parametrize("synchronous", [True, False])
async def test_a_full_buffer_does_not_wait(synchronous: bool) -> None:
    def numbers() -> Iterator[int]:
        yield from range(5)

    async def many() -> AsyncIterator[int]:
        for number in numbers():
            yield number
            await checkpoint()

    content: Any = numbers() if synchronous else many()
    sent = await messages_of(EventSourceResponse(content, max_delay=60, max_buffer=1))
    assert b"".join(chunk for _, chunk in sent) == events(*range(5))
    assert sent[-1][0] < 1000


@pytest.mark.parametrize("max_buffer", [1, 65536])
async def test_foreign_events_wait_too(max_buffer: int) -> None:
    async def endpoint(_: Request) -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            async for number in tokens(6):
                yield events(number)

        return StreamingResponse(body(), media_type="text/event-stream")

    app = Starlette(routes=[Route("/", endpoint)])
    app.add_middleware(SSEMiddleware, max_delay=DELAY, max_buffer=max_buffer)
    sent = await messages_of(app)
    assert b"".join(chunk for _, chunk in sent) == events(*range(6))
    assert len(sent) <= (6 if max_buffer == 1 else 3)
