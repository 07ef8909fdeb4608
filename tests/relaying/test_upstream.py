"""What an upstream answers, what may be relayed, and when it is closed."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, Self

import anyio
import httpx
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sse_middleware import (
    CloseReason,
    EventSourceResponse,
    ServerSentEvent,
    SSEMiddleware,
    UpstreamError,
    event_stream,
    relay,
)
from sse_middleware.errors import ConfigurationError, EncodingError
from sse_middleware.relaying.source import ERROR_BODY_BOUND, MOST_BUFFERED
from sse_middleware.testing import StreamingTransport
from tests.relaying.upstreams import EVENTS, Upstream, answer_of, answering
from tests.served import body_of, call, client_of, events_of, observed

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]

EVENT = b"data: 1\n\n"


def application(upstream: Any, **handlers: Any) -> Any:
    async def endpoint(_request: Request) -> Any:
        return relay(upstream)

    app = Starlette(routes=[Route("/", event_stream(endpoint))], **handlers)
    app.add_middleware(SSEMiddleware)
    return app


async def test_the_log_says_why_there_is_no_stream(caplog: pytest.LogCaptureFixture) -> None:
    await answered(application(answering(httpx.ReadError("forged\nline"))))
    (message,) = caplog.messages
    assert message.endswith(r"endpoint: the upstream broke: ReadError: forged\nline")


async def answered(app: Any) -> httpx.Response:
    async with client_of(app) as client:
        return await client.http.get("/")


@pytest.mark.parametrize(
    ("status", "retry_after", "answer"),
    [
        (400, "7", (502, "Bad Gateway", None)),
        (401, None, (502, "Bad Gateway", None)),
        (204, None, (502, "Bad Gateway", None)),
        (307, None, (502, "Bad Gateway", None)),
        (429, "7", (429, "Too Many Requests", "7")),
        (429, None, (429, "Too Many Requests", None)),
        (503, "Wed, 21 Oct 2026 07:28:00 GMT", (503, "Service Unavailable", "same")),
        (503, "soon!", (503, "Service Unavailable", None)),
        (504, None, (502, "Bad Gateway", None)),
    ],
)
async def test_an_error_of_the_upstream_becomes_a_status(
    status: int, retry_after: str | None, answer: tuple[int, str, str | None]
) -> None:
    upstream = Upstream(b"secret")
    headers = {"retry_after": retry_after} if retry_after else {}
    response = await answered(application(upstream.response(status, **headers)))
    expected = retry_after if answer[2] == "same" else answer[2]
    found = response.status_code, response.text, response.headers.get("retry-after")
    assert found == (*answer[:2], expected)
    assert upstream.closed.is_set()


@pytest.mark.parametrize("media_type", ["application/json", "text/html; charset=utf-8", ""])
async def test_another_media_type_is_no_stream(media_type: str) -> None:
    upstream = Upstream(b'{"data": 1}')
    response = upstream.response(content_type=media_type)
    answer = await answer_of(EventSourceResponse(relay(response)))
    assert not answer.head
    assert "not with text/event-stream" in answer.reason


async def test_no_media_type_is_no_stream() -> None:
    response = httpx.Response(200, stream=Upstream(EVENT))
    answer = await answer_of(EventSourceResponse(relay(response)))
    assert answer.reason.startswith("the upstream answered with the media type ''")


async def test_a_handler_may_pass_the_error_on() -> None:
    async def handler(_request: Request, error: Any) -> Response:
        assert isinstance(error, UpstreamError)
        return Response(error.body, error.upstream_status or 502, media_type=error.media_type)

    upstream = Upstream(b'{"error":', b"1}")
    response = upstream.response(400, content_type="application/json")
    app = application(response, exception_handlers={UpstreamError: handler})
    passed = await answered(app)
    assert (passed.status_code, passed.json()) == (400, {"error": 1})
    assert passed.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("steps", "ends", "size"),
    [
        ([b"x" * 40_000] * 3, False, ERROR_BODY_BOUND),
        ([b"begin"], False, 5),
        ([b"begin", httpx.ReadError("")], True, 5),
        ([100, b"late"], True, 0),
    ],
)
async def test_of_an_error_only_the_beginning_is_read(
    steps: list[Any], ends: bool, size: int
) -> None:
    upstream = Upstream(*steps, ends=ends)
    answer = await answer_of(EventSourceResponse(relay(upstream.response(500)), commit_after=10))
    assert isinstance(answer.error, UpstreamError)
    assert len(answer.error.body) == size
    assert answer.error.upstream_status == 500
    assert upstream.closed.is_set()


@asynccontextmanager
async def upstream_client(handler: Any, library: Any = httpx) -> AsyncIterator[Any]:
    """Return a client whose requests a function answers."""
    async with library.AsyncClient(transport=library.MockTransport(handler)) as client:
        yield client


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_a_request_is_sent_when_its_stream_begins(library: Any) -> None:
    requests, upstream = [], Upstream(EVENT)

    async def handler(request: Any) -> Any:
        requests.append(request)
        return library.Response(
            200, headers={"content-type": "text/event-stream"}, content=aiter(upstream)
        )

    async with upstream_client(handler, library) as client:
        response = EventSourceResponse(relay(client.stream("GET", "http://upstream/")))
        assert not requests
        assert await body_of(response) == EVENT
        assert len(requests) == 1


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_an_upstream_that_cannot_be_reached_is_a_bad_gateway(library: Any) -> None:
    async def handler(_request: Any) -> Any:
        raise library.ConnectError("refused")

    async with upstream_client(handler, library) as client:
        response = await answered(application(client.stream("GET", "http://upstream/")))
        assert (response.status_code, response.text) == (502, "Bad Gateway")


@pytest.mark.parametrize(
    "error", [httpx.ConnectTimeout(""), httpx2.ReadTimeout(""), TimeoutError()]
)
async def test_a_timeout_before_the_stream_is_a_gateway_timeout(error: Exception) -> None:
    response = await answered(application(answering(error)))
    assert (response.status_code, response.text) == (504, "Gateway Timeout")


async def test_a_head_that_comes_after_the_status_line_can_only_be_an_error_event() -> None:
    async def handler(_request: Any) -> httpx.Response:
        await anyio.sleep(1)
        return httpx.Response(500)

    async with upstream_client(handler) as client:
        for commit_after, head, body in ((0.5, True, b"data: 502\n\n"), (2, False, b"")):
            response = EventSourceResponse(
                relay(client.stream("GET", "http://upstream/")),
                error_event=lambda error: getattr(error, "status_code", None),
                commit_after=commit_after,
            )
            answer = await answer_of(response)
            assert (bool(answer.head), answer.body) == (head, body)


async def test_a_compressed_upstream_is_read_and_its_headers_are_not_passed_on() -> None:
    import gzip  # noqa: PLC0415 - only here

    response = Upstream(gzip.compress(EVENT * 3)).response(
        content_encoding="gzip", content_length="7", set_cookie="secret", x_request_id="1"
    )
    answer = await answer_of(EventSourceResponse(relay(response)))
    assert answer.body == EVENT * 3
    names = [name for name, _ in answer.head["headers"]]
    assert names == [b"content-type", b"cache-control", b"x-accel-buffering"]


async def test_any_asynchronous_iterable_of_bytes_may_be_relayed() -> None:
    closed = []

    async def generated() -> AsyncIterator[Any]:
        try:
            yield b"data: 1\n"
            yield bytearray(b"\ndata: 2\n\n")
            yield memoryview(b"data: 3\n\n")
        finally:
            await anyio.sleep(1)
            closed.append(True)

    answer = await answer_of(EventSourceResponse(relay(generated())))
    assert answer.body == b"data: 1\n\ndata: 2\n\ndata: 3\n\n"
    assert closed == [True]
    assert await body_of(EventSourceResponse(relay(Upstream(EVENT)))) == EVENT


async def test_what_an_iterable_raises_on_purpose_passes_as_it_is() -> None:
    async def generated() -> AsyncIterator[bytes]:
        raise error
        yield b""

    for error in (HTTPException(404), EncodingError("mine")):
        assert (await answer_of(EventSourceResponse(relay(generated())))).error is error


async def test_text_is_not_relayed() -> None:
    async def lines() -> AsyncIterator[Any]:
        yield "data: 1"

    answer = await answer_of(EventSourceResponse(relay(lines())))
    assert isinstance(answer.error, TypeError)
    assert "got 'data: 1': read it by aiter_bytes()" in answer.reason


async def test_what_can_not_be_relayed_is_refused_at_once() -> None:
    async def response() -> None: ...

    for wrong in (b"data: 1\n\n", "data: 1", [EVENT], None, Upstream, anyio.Event):
        with pytest.raises(TypeError, match="relay takes a response as httpx streams it"):
            relay(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="it must be awaited first"):
        relay(response())  # type: ignore[arg-type]

    class Future:
        def __await__(self) -> Iterator[None]:
            yield

    with pytest.raises(TypeError, match="it must be awaited first"):
        relay(Future())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="map must be a function"):
        relay(answering(), map="x")  # type: ignore[arg-type]


async def test_a_relay_is_for_one_stream() -> None:
    relayed = relay(answering(EVENT))
    assert await body_of(EventSourceResponse(relayed)) == EVENT
    answer = await answer_of(EventSourceResponse(relayed))
    assert isinstance(answer.error, ConfigurationError)
    with pytest.raises(ConfigurationError, match="call relay"):
        aiter(relayed)


@pytest.mark.parametrize("steps", [[], [b"data: 1\n\n"], [b"data: 1\n\nda"], [b": c\n"]])
async def test_the_upstream_is_closed_when_the_client_leaves(steps: list[bytes]) -> None:
    upstream = Upstream(*steps, ends=False)
    app, closed = observed(EventSourceResponse(relay(upstream.response())))
    with anyio.fail_after(5):
        await call(app, leave=lambda: anyio.sleep(2))
    assert upstream.closed.is_set()
    assert closed.reasons == [CloseReason.CLIENT_DISCONNECTED]


async def test_a_request_without_a_head_is_cancelled_when_the_client_leaves() -> None:
    cancelled = anyio.Event()

    async def handler(_request: Any) -> Any:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    async with upstream_client(handler) as client:
        response = EventSourceResponse(relay(client.stream("GET", "http://upstream/")))
        with anyio.fail_after(5):
            await call(response, leave=lambda: anyio.sleep(2))
        assert cancelled.is_set()


async def test_an_upstream_application_sees_that_the_client_has_left() -> None:
    left = anyio.Event()

    async def endless(_request: Request) -> AsyncIterator[Any]:
        try:
            yield 1
            await anyio.sleep_forever()
        finally:
            left.set()

    app = Starlette(routes=[Route("/", event_stream(endless))])
    transport = StreamingTransport(SSEMiddleware(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://upstream") as client:
        gateway = EventSourceResponse(relay(client.stream("GET", "/")))
        async with events_of(gateway) as events:
            assert (await events.next()).json() == 1
        await left.wait()


async def test_a_client_that_leaves_need_not_end_the_upstream() -> None:
    upstream = Upstream(EVENT, 10, EVENT, 10, EVENT)
    response = EventSourceResponse(relay(upstream.response()), on_disconnect="finish")
    await call(response, leave=lambda: anyio.sleep(5))
    assert upstream.reads == 3
    assert upstream.closed.is_set()


async def test_an_upstream_that_is_never_read_is_closed_too() -> None:
    for relayed_from in ("response", "generator", "context"):
        upstream = Upstream(EVENT)

        async def generated() -> AsyncIterator[bytes]:
            yield EVENT

        async def handler(_request: Any) -> Any:
            raise AssertionError("it isn't sent")

        async with upstream_client(handler) as client:
            kinds: dict[str, Any] = {
                "response": upstream.response(),
                "generator": generated(),
                "context": client.stream("GET", "http://upstream/"),
            }
            response = EventSourceResponse(relay(kinds[relayed_from]))
            assert await body_of(response, "HEAD") == b""
            assert upstream.closed.is_set() == (relayed_from == "response")


async def test_a_refused_stream_closes_its_upstream() -> None:
    upstreams = [Upstream(EVENT, ends=False), Upstream(EVENT)]
    waiting = [*upstreams]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        response = EventSourceResponse(relay(waiting.pop(0).response()))
        await response(scope, receive, send)

    served = SSEMiddleware(app, max_streams=1)
    async with client_of(served) as client, client.stream("GET", "/") as events:
        await events.next()
        assert (await client.http.get("/")).status_code == 503
        assert upstreams[1].closed.is_set()
        assert not upstreams[0].closed.is_set()
    assert upstreams[0].closed.is_set()


async def test_a_cleanup_that_has_begun_by_itself_is_not_cancelled() -> None:
    closed = []

    async def generated() -> AsyncIterator[bytes]:
        try:
            yield EVENT
        finally:
            await anyio.sleep(2)
            closed.append(True)

    await call(EventSourceResponse(relay(generated())), leave=lambda: anyio.sleep(1))
    assert closed == [True]


@pytest.mark.parametrize("way", ["cancelled", "left"])
async def test_a_stream_that_ends_early_leaves_the_context_of_its_upstream(way: str) -> None:
    left = anyio.Event()

    @asynccontextmanager
    async def requested() -> AsyncIterator[httpx.Response]:
        try:
            yield Upstream(EVENT, ends=False).response()
        finally:
            await anyio.sleep(1)
            left.set()

    async def hang(_event: ServerSentEvent) -> None:
        await anyio.sleep_forever()  # so that the body is not being read when it is cancelled

    response = EventSourceResponse(relay(requested(), map=hang))
    with anyio.move_on_after(5):
        await call(response, leave=lambda: anyio.sleep(2 if way == "left" else 100))
    assert left.is_set()


async def test_an_upstream_that_hangs_while_it_is_closed_is_left_behind() -> None:
    class Hanging(Upstream):
        async def aclose(self) -> None:
            await anyio.sleep_forever()

    response = EventSourceResponse(relay(Hanging(EVENT, ends=False).response()), cleanup_timeout=3)
    with anyio.fail_after(10):
        await call(response, leave=lambda: anyio.sleep(1))


async def test_a_body_that_never_waits_is_broken_off() -> None:
    class Endless:
        status_code, headers, reads = 200, MappingProxyType({"content-type": EVENTS}), 0

        def aiter_bytes(self) -> Self:
            return self

        def __aiter__(self) -> Self:
            return self

        async def __anext__(self) -> bytes:
            self.reads += 1
            return b"data: too large\n\n"

        async def aclose(self) -> None:
            self.reads = -self.reads

    response = Endless()
    answer = await answer_of(EventSourceResponse(relay(response), max_event_size=5))
    assert "max_event_size=5" in answer.reason
    assert response.reads == -1 - MOST_BUFFERED


async def test_an_error_while_a_body_is_broken_off_says_nothing_new() -> None:
    class Failing(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"data: too large\n\n"
            raise httpx.ReadError("later")

    response = httpx.Response(200, headers={"content-type": EVENTS}, stream=Failing())
    answer = await answer_of(EventSourceResponse(relay(response), max_event_size=5))
    assert "max_event_size=5" in answer.reason


async def test_a_slow_client_slows_the_upstream() -> None:
    upstream = Upstream(*[b"data: %b\n\n" % (b"x" * 1000)] * 1000)
    response = EventSourceResponse(relay(upstream.response()), max_buffer=5000)
    messages = []

    async def send(message: Any) -> None:
        messages.append(message)
        await anyio.sleep(1)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: call(response, send=send))
        await anyio.sleep(20.5)
        sent = sum(len(message.get("body", b"")) for message in messages)
        assert upstream.reads * 1000 <= sent + 12_000
        assert len(messages) == 21
        tasks.cancel_scope.cancel()
    assert upstream.closed.is_set()


async def test_limits_and_a_drain_end_a_relay_with_a_farewell() -> None:
    bye = ServerSentEvent(raw_data="bye")
    for ended in ("max_duration", "idle_timeout", "drain"):
        upstream = Upstream(EVENT, b"data: unfin", ends=False)
        settings: Any = {} if ended == "drain" else {ended: 10}
        app = SSEMiddleware(
            EventSourceResponse(relay(upstream.response()), farewell=lambda _: bye, **settings)
        )
        async with events_of(app) as events:
            assert (await events.next()).raw_data == "1"
            if ended == "drain":
                await app.drain()
            assert (await events.next()).raw_data == "bye"
            assert events.body == EVENT + b"data: bye\n\n"
        assert upstream.closed.is_set()


async def test_an_application_that_answers_by_hand_may_be_an_upstream() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("no stream")(scope, receive, send)

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://upstream"
    ) as client:
        read = await client.get("/")
        answer = await answer_of(EventSourceResponse(relay(read)))
    assert isinstance(answer.error, UpstreamError)
    assert (answer.error.body, answer.error.media_type) == (
        b"no stream",
        "text/plain; charset=utf-8",
    )
