"""`max_event_size`: a larger event is an error where it is yielded or sent."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from sse_middleware import (
    CloseReason,
    EncodingError,
    EventSourceResponse,
    LegacyRoute,
    ServerSentEvent,
    SSEMiddleware,
)
from sse_middleware.errors import BodyError
from sse_middleware.legacy.bodies.body_format import BodyFormat
from sse_middleware.legacy.bodies.conversion import LARGE
from tests.legacy.apps import App, Message, joined, part, sent, start
from tests.served import body_of, events_of, observed

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


@pytest.mark.parametrize(
    "item",
    ["x" * 90, ServerSentEvent(data="x" * 90), ServerSentEvent(comment="x" * 96)],
    ids=["data", "fields", "comment"],
)
async def test_a_large_item_is_refused_at_its_yield(item: Any) -> None:
    async def items() -> AsyncIterator[Any]:
        yield item
        try:
            yield "x" * 91 if isinstance(item, str) else item.model_copy(update={"event": "e"})
        except EncodingError as error:
            yield str(error)[-47:]

    text = (await body_of(EventSourceResponse(items(), max_event_size=100))).decode()
    assert "max_event_size is 100" in text
    assert "x" * 90 in text


@pytest.mark.parametrize("kind", ["async", "sync", "list"])
async def test_a_large_item_ends_a_stream_that_does_not_catch_the_error(kind: str) -> None:
    async def items() -> AsyncIterator[str]:
        yield "small"
        yield "x" * 1000

    def sync_items() -> Iterator[str]:
        yield "small"
        yield "x" * 1000

    content: Any = {"async": items, "sync": sync_items, "list": lambda: ["small", "x" * 1000]}
    app, closed_streams = observed(EventSourceResponse(content[kind]()), max_event_size=100)
    async with events_of(app) as events:
        assert (await events.next()).json() == "small"
        with pytest.raises(EncodingError, match="max_event_size is 100"):
            await events.next()
    (closed,) = closed_streams.records
    assert closed.reason == CloseReason.ERROR
    assert isinstance(closed.error, EncodingError)


@pytest.mark.parametrize(
    ("kind", "small", "large"),
    [
        ("application/x-ndjson", b'"small"\n', b'"' + b"x" * 1000 + b'"\n'),
        ("text/event-stream", b'data: "small"\n\n', b"data: " + b"x" * 1000 + b"\n\n"),
        ("text/event-stream", b'data: "small"\n\n', b"data: " + b"x" * 1000),
    ],
)
@pytest.mark.parametrize("together", [True, False])
async def test_a_large_event_of_an_adopted_body_fails_in_its_send(
    kind: str, small: bytes, large: bytes, together: bool
) -> None:
    caught: list[Exception] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-type", kind.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            for body in [small + large] if together else [small, large]:
                await send({"type": "http.response.body", "body": body, "more_body": True})
        except BodyError as error:
            caught.append(error)
            raise

    limited, closed_streams = observed(app, max_event_size=100)
    async with events_of(limited) as events:
        assert (await events.next()).json() == "small"
        with pytest.raises(BodyError, match="100"):
            await events.next()
    assert len(caught) == 1
    assert closed_streams.reasons == [CloseReason.ERROR]


async def test_the_bound_also_narrows_that_of_a_route() -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * 60 + b"\n"})

    route = LegacyRoute("/", body="lines", max_piece=1000, max_event_size=50)
    with pytest.raises(BodyError, match="50"):
        async with events_of(SSEMiddleware(app, legacy=[route])) as events:
            await events.next()


class Large:
    """An adapter that heeds no bound."""

    def __init__(self, _body: BodyFormat) -> None: ...

    def feed(self, chunk: bytes) -> list[bytes]:
        return [chunk, b"x" * 1000]

    def end(self) -> list[bytes]:
        return []


@pytest.mark.parametrize(
    ("large", "route"),
    [
        (b"\n" * 90, {"body": "chunks"}),
        (b"x" * 93, {"body": "chunks"}),
        (b"x" * 90, {"body": "chunks", "event": "e"}),
        (b"[" + b"\n" * 90 + b"]", {"body": "chunks", "id": "{line}"}),
        (b"x" * 93 + b"\n", {"body": "lines"}),
        (b"", {"body": Large}),
        (b"\n" * LARGE + b"x", {"body": "chunks", "max_event_size": LARGE * 2}),
    ],
)
async def test_the_fields_of_an_event_and_its_lines_count(
    large: bytes, route: dict[str, Any]
) -> None:
    messages: list[Message] = []
    app = App(start(b"text/plain"), part(b"small\n"), part(large))
    served = SSEMiddleware(app, legacy=[LegacyRoute("/", **{"max_event_size": 100, **route})])
    with pytest.raises(BodyError, match="max_event_size is"):
        await sent(served, into=messages)
    (only,) = joined(messages).removesuffix(b"\n\n").split(b"\n\n")
    assert b"data: small" in only


async def test_an_event_of_just_that_size_passes() -> None:
    app = App(start(b"text/plain"), part(b"x" * 92, more=False))
    route = LegacyRoute("/", body="chunks", max_event_size=100)
    assert len(joined(await sent(SSEMiddleware(app, legacy=[route])))) == 100
