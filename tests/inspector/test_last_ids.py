"""The last id of each open stream: the last one that was sent, whatever has made it."""

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sse_middleware import EventSourceResponse, Hub, ServerSentEvent, relay
from sse_middleware.compat import sse_starlette
from sse_middleware.testing import EventClient
from tests.inspector.kit import application, page_of
from tests.patience import PATIENCE
from tests.served import client_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]

WIRE = b"id: 6\ndata: 1\n\nid: 7\ndata: 2\n\ndata: 3\n\n"
"""Three events. The last one has no id."""


def _event(number: int) -> ServerSentEvent:
    return ServerSentEvent(data=number, id=str(number) if number != 8 else None)


async def _events() -> AsyncIterator[ServerSentEvent]:
    for number in (6, 7, 8):
        yield _event(number)
    await anyio.sleep_forever()


async def native(_request: Request) -> Response:
    return EventSourceResponse(_events())


async def one_by_one(_request: Request) -> Response:
    async def events() -> AsyncIterator[ServerSentEvent]:
        async for event in _events():
            yield event
            await anyio.sleep(1)

    return EventSourceResponse(events())


async def _wire(step: int, line_end: bytes = b"\n") -> AsyncIterator[bytes]:
    wire = WIRE.replace(b"\n", line_end)
    for at in range(0, len(wire), step):
        yield wire[at : at + step]
        await anyio.sleep(0.01)
    await anyio.sleep_forever()


async def adopted(_request: Request) -> Response:
    return StreamingResponse(_wire(100), media_type="text/event-stream")


async def adopted_byte_by_byte(_request: Request) -> Response:
    return StreamingResponse(_wire(1), media_type="text/event-stream")


async def relayed(_request: Request) -> Response:
    return EventSourceResponse(relay(_wire(10)))


async def mapped(_request: Request) -> Response:
    numbers = iter((6, 7, 8))
    return EventSourceResponse(relay(_wire(10), map=lambda _event_: _event(next(numbers))))


async def partly_mapped(_request: Request) -> Response:
    """Change the first event, and let the others pass as they are."""

    def change(event: ServerSentEvent) -> ServerSentEvent:
        return _event(6) if event.id == "6" else event

    return EventSourceResponse(relay(_wire(10, b"\r\n"), map=change))


async def ported(_request: Request) -> Response:
    async def events() -> AsyncIterator[Any]:
        yield {"data": 6, "id": "6"}
        yield sse_starlette.ServerSentEvent(7, id="7")
        yield {"data": 8}
        await anyio.sleep_forever()

    return sse_starlette.EventSourceResponse(events())


async def pinged(_request: Request) -> Response:
    return EventSourceResponse(_quiet(), ping=ServerSentEvent(id="7"), ping_interval=1)


async def _quiet() -> AsyncIterator[Any]:
    yield 1
    await anyio.sleep_forever()


ENDPOINTS = [
    native,
    one_by_one,
    adopted,
    adopted_byte_by_byte,
    relayed,
    mapped,
    partly_mapped,
    ported,
    pinged,
]
EVENTS = dict.fromkeys(ENDPOINTS, 3) | {pinged: 1}


@pytest.mark.parametrize("compression", [False, True])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_it_is_that_of_the_last_event_with_an_id(endpoint: Any, *, compression: bool) -> None:
    app = application(settings={"compression": compression})
    app.add_route("/events", endpoint)
    async with client_of(app) as client, client.stream("GET", "/events") as events:
        await events.take(EVENTS[endpoint])
        await anyio.sleep(2)
        async with page_of(client) as page:
            assert page.shown("streams")[0]["last"] == "7"


async def test_of_a_generator_in_a_thread() -> None:
    looked = threading.Event()

    async def endpoint(_request: Request) -> Response:
        def events() -> Iterator[ServerSentEvent]:
            yield from map(_event, (6, 7, 8))
            looked.wait(PATIENCE)

        return EventSourceResponse(events())

    app = application()
    app.add_route("/events", endpoint)
    async with client_of(app) as client, client.stream("GET", "/events") as events:
        await events.take(3)
        async with page_of(client) as page:
            assert page.shown("streams")[0]["last"] == "7"
        looked.set()
        assert [event async for event in events] == []


async def test_what_was_yielded_and_not_sent_does_not_count() -> None:
    """Neither what waits, nor what a client that has stopped reading is being sent."""
    sent = 0

    async def send(message: Any) -> None:
        nonlocal sent
        sent += message.get("body", b"").count(b"id: ")
        if sent == 5:
            await anyio.sleep_forever()

    async def endpoint(_request: Request) -> Response:
        async def events() -> AsyncIterator[ServerSentEvent]:
            for number in range(1, 100):
                yield ServerSentEvent(data=number, id=str(number))
                await anyio.sleep(0.1)

        return EventSourceResponse(events(), send_timeout=None)

    app = application()
    app.add_route("/events", endpoint)
    request = {"type": "http", "method": "GET", "path": "/events", "headers": []}
    receive: Any = anyio.sleep_forever
    async with client_of(app) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(app, request, receive, send)
        await anyio.sleep(5)
        async with page_of(client) as page:
            (row,) = page.shown("streams")
            assert (row["last"], row["events"]) == ("4", 4)
            assert row["waiting"] > 0
        tasks.cancel_scope.cancel()


async def test_bytes_in_a_coding_of_the_application_are_not_read() -> None:
    """They may look like an id."""

    async def endpoint(_request: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"\nid: 1\n\n"
            yield b"\nid: 2\n\n"
            await anyio.sleep_forever()

        headers = {"content-encoding": "br"}
        return StreamingResponse(body(), media_type="text/event-stream", headers=headers)

    app = application()
    app.add_route("/events", endpoint)
    async with client_of(app) as client, client.http.stream("GET", "/events"):
        await anyio.sleep(1)
        async with page_of(client) as page:
            (row,) = page.shown("streams")
            assert (row["events"], row["last"]) == (2, "")


async def test_of_a_subscriber_that_has_stopped_reading() -> None:
    """It is the position before what it is being sent."""
    hub = Hub()
    bodies: list[bytes] = []

    async def send(message: Any) -> None:
        bodies.append(message.get("body", b""))
        if b"data: 2" in bodies[-1]:
            await anyio.sleep_forever()

    app = application(hub, settings={"send_timeout": None})
    request = {"type": "http", "method": "GET", "path": "/rooms/lobby", "headers": []}
    receive: Any = anyio.sleep_forever
    async with EventClient(app) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(app, request, receive, send)
        await anyio.sleep(1)
        async with page_of(client) as page:
            first = page.shown("streams")[0]["last"]
            assert f"id: {first}\n\n".encode() in bodies
            had = await hub.publish("lobby", 1)
            await page.until(lambda page: page.shown("streams")[0]["last"] == had)
            await hub.publish("lobby", 2)
            await hub.publish("lobby", 3)
            await anyio.sleep(5)
            await page.next()
            assert page.shown("streams")[0]["last"] == had
        tasks.cancel_scope.cancel()
