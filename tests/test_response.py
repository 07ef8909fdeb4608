"""`EventSourceResponse`, with and without the middleware."""

import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextvars import ContextVar
from functools import partial
from types import MappingProxyType
from typing import Any

import anyio
import httpx
import pytest
from anyio.to_thread import current_default_thread_limiter
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from sse_middleware import EventSourceResponse, SSEMiddleware
from sse_middleware.items.control_frames import ConfiguredControlFrames, ControlFrameRules
from sse_middleware.items.item_encoding import ItemEncoding
from sse_middleware.items.serialization import ItemEncoder
from sse_middleware.settings import StreamSettings
from sse_middleware.stream.framed_producer import FramedProducer
from sse_middleware.stream.producers import producer_of
from tests.served import body_of, client_of, events_of

pytestmark = pytest.mark.anyio


async def items() -> AsyncIterator[int]:
    yield 1


class TestHeaders:
    async def test_by_default(self) -> None:
        async with events_of(EventSourceResponse(items())) as events:
            assert events.response.status_code == 200
            assert dict(events.response.headers) == {
                "content-type": "text/event-stream; charset=utf-8",
                "cache-control": "no-cache, no-transform",
                "x-accel-buffering": "no",
            }

    async def test_of_the_endpoint_replace_the_defaults_and_add_to_them(self) -> None:
        own = {"Cache-Control": "no-store", "X-Own": "1"}
        app = EventSourceResponse(items(), status_code=201, headers=own)
        async with events_of(app) as events:
            assert events.response.status_code == 201
            assert dict(events.response.headers) == {
                "content-type": "text/event-stream; charset=utf-8",
                "cache-control": "no-store",
                "x-accel-buffering": "no",
                "x-own": "1",
            }
        assert own == {"Cache-Control": "no-store", "X-Own": "1"}

    async def test_may_be_set_later(self) -> None:
        response = EventSourceResponse(items())
        response.headers["x-accel-buffering"] = "yes"
        async with events_of(response) as events:
            assert events.response.headers.get_list("x-accel-buffering") == ["yes"]

    async def test_the_usual_one_may_be_replaced_in_one_response(self) -> None:
        response = EventSourceResponse(items())
        response.headers["content-type"] = "text/event-stream"
        async with events_of(response) as events:
            assert events.response.headers.get_list("content-type") == ["text/event-stream"]
        usual = [(b"content-type", b"text/event-stream; charset=utf-8")]
        assert EventSourceResponse(items()).raw_headers == usual


async def test_a_head_request_never_starts_the_generator() -> None:
    entered: list[str] = []

    async def endpoint() -> AsyncIterator[int]:
        entered.append("generator")
        yield 1

    async def background() -> None:
        entered.append("background")

    app = EventSourceResponse(endpoint(), background=BackgroundTask(background))
    async with client_of(SSEMiddleware(app)) as client:
        response = await client.http.head("/")
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert entered == ["background"]


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_never_starts_the_generator(status: int) -> None:
    entered = []

    async def endpoint() -> AsyncIterator[int]:
        entered.append(True)
        yield 1

    async with client_of(EventSourceResponse(endpoint(), status_code=status)) as client:
        response = await client.http.get("/")
    assert response.status_code == status
    assert response.content == b""
    assert entered == []


class Countdown:
    """An iterable that is not a generator."""

    def __iter__(self) -> Iterator[int]:
        return iter([2, 1])


class AsyncCountdown:
    """An asynchronous iterable that is not a generator and can't be closed."""

    def __aiter__(self) -> "AsyncCountdown":
        self.left = 2
        return self

    async def __anext__(self) -> int:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        return self.left + 1


def countdown() -> Iterator[int]:
    yield 2
    yield 1


@pytest.mark.parametrize(
    "content",
    [
        [2, 1],
        (2, 1),
        Countdown(),
        AsyncCountdown(),
        countdown(),
        range(2, 0, -1),
        {2: 0, 1: 0}.keys(),
    ],
    ids=lambda content: type(content).__name__,
)
async def test_any_iterable_is_a_stream(content: Any) -> None:
    content = countdown() if isinstance(content, Iterator) else content
    assert await body_of(EventSourceResponse(content)) == b"data: 2\n\ndata: 1\n\n"


class Model(BaseModel):
    a: int = 1


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        ("text", "put it in a list"),
        (b"bytes", "put it in a list"),
        (bytearray(b"bytes"), "put it in a list"),
        (MappingProxyType({"a": 1}), "put it in a list"),
        ({"a": 1}, "put it in a list"),
        (Model(), "put it in a list"),
        (5, "put it in a list"),
        (None, "there is nothing to stream"),
        (items, "must be called"),
        (partial(items), "must be called"),
        (Countdown.__iter__, "must be called"),
        (AsyncCountdown, "must be called"),
    ],
)
def test_text_mappings_and_anything_else_are_refused(content: Any, advice: str) -> None:
    with pytest.raises(TypeError) as caught:
        EventSourceResponse(content)
    assert str(caught.value).startswith(f"content must be an iterable of items, got {content!r}: ")
    assert str(caught.value).endswith(advice)


async def test_what_must_be_awaited_first_is_refused() -> None:
    async def later() -> list[int]:
        return [1]

    coroutine = later()
    with pytest.raises(TypeError, match="must be awaited first"):
        EventSourceResponse(coroutine)  # type: ignore[arg-type]
    assert await body_of(EventSourceResponse(await coroutine)) == b"data: 1\n\n"


def test_a_long_content_is_shown_in_part() -> None:
    with pytest.raises(TypeError) as caught:
        EventSourceResponse("x" * 10_000)
    assert len(str(caught.value)) < 250


def test_a_flask_view_can_not_return_it() -> None:
    flask: Any = pytest.importorskip("flask")
    app = flask.Flask("app")
    app.testing = True

    def made() -> Any:
        return EventSourceResponse([1])

    app.get("/made")(made)
    with pytest.raises(TypeError, match=r"flask view 'made': .*ASGI.*streaming response"):
        app.test_client().get("/made")
    assert EventSourceResponse([1]).status_code == 200  # outside of a view


def test_it_is_no_response_of_litestar() -> None:
    message = r"items: a Litestar handler .* must be annotated with"
    with pytest.raises(TypeError, match=message):
        EventSourceResponse(items()).to_asgi_response(app=None, request=None)


def test_it_has_no_whole_body() -> None:
    """Django calls `render` of what a view returns."""
    for response in (EventSourceResponse(items()), EventSourceResponse([])):
        with pytest.raises(TypeError, match=r"(items|list): .*ASGI.*streaming response"):
            response.render()
        with pytest.raises(TypeError, match="ASGI"):
            response.render(b"")


def test_frameworks_see_a_streaming_response() -> None:
    assert issubclass(EventSourceResponse, StreamingResponse)
    assert EventSourceResponse.media_type == "text/event-stream"


@pytest.mark.parametrize("yielding", [items, countdown], ids=["async", "sync"])
def test_the_test_client_of_starlette_reads_a_stream_that_ends(yielding: Any) -> None:
    async def endpoint(_request: Request) -> EventSourceResponse:
        return EventSourceResponse(yielding())

    app = Starlette(routes=[Route("/", endpoint)])
    app.add_middleware(SSEMiddleware)
    with TestClient(app) as client:
        response = client.get("/")
    assert response.status_code == 200
    assert response.text.endswith("data: 1\n\n")


class TestThreads:
    """Synchronous streams and the application's other endpoints."""

    async def test_are_not_taken_from_the_default_limiter(self) -> None:
        release = threading.Event()

        def blocked() -> Iterable[int]:
            yield 1
            release.wait()

        async with events_of(EventSourceResponse(blocked(), ping_interval=None)) as events:
            await events.next()
            assert current_default_thread_limiter().borrowed_tokens == 0
            release.set()
            assert [event async for event in events] == []

    async def test_keep_their_context_variables(self) -> None:
        number: ContextVar[int] = ContextVar("number")

        def counting() -> Iterator[str]:
            number.set(0)
            for _ in range(200):
                number.set(number.get() + 1)
                yield f"{number.get()}" + "x" * 1000  # so that it takes many runs of the thread

        assert b'"200x' in await body_of(EventSourceResponse(counting()))


def test_a_framed_producer_is_called_by_what_it_frames() -> None:
    settings = StreamSettings()
    encoder = ItemEncoder(ItemEncoding(settings, None, ""))
    producer = producer_of([1], encoder)
    framed = FramedProducer(producer, ConfiguredControlFrames(ControlFrameRules(settings)))
    assert repr(framed) == repr(producer)


class TestInAnotherStream:
    """A generator that runs an application in its own task, as httpx's `ASGITransport` does."""

    async def test_both_send_all(self) -> None:
        async def slow() -> AsyncIterator[int]:
            for number in range(3):
                await anyio.sleep(1)
                yield number

        async def around() -> AsyncIterator[str]:
            await anyio.sleep(1)
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(EventSourceResponse(slow())), base_url="http://inner"
            ) as inner:
                yield (await inner.get("/")).text
            await anyio.sleep(1)
            yield "end"

        async with events_of(EventSourceResponse(around())) as events:
            text = "".join(f"data: {number}\n\n" for number in range(3))
            assert [event.json() async for event in events] == [text, "end"]

    async def test_both_end_when_the_client_leaves(self) -> None:
        log: list[str] = []

        async def endless() -> AsyncIterator[int]:
            try:
                while True:
                    await anyio.sleep(1)
                    yield 1
            finally:
                log.append("inner")

        async def around() -> AsyncIterator[str]:
            yield "begin"
            try:
                async with httpx.AsyncClient(
                    transport=httpx.ASGITransport(EventSourceResponse(endless())),
                    base_url="http://inner",
                ) as inner:
                    await inner.get("/")
            finally:
                log.append("outer")

        async with events_of(EventSourceResponse(around())) as events:
            assert (await events.next()).json() == "begin"
            await anyio.sleep(10)
        assert log == ["inner", "outer"]
