"""How the body of a stream ends that fails: it breaks off, or is complete after its error event."""

import logging
import zlib
from asyncio import CancelledError
from collections.abc import AsyncIterator, Iterator
from typing import Any, NoReturn

import anyio
import pytest
from starlette.types import Receive, Scope, Send

from sse_middleware import (
    CloseReason,
    EncodingError,
    EventSourceResponse,
    Hub,
    ServerSentEvent,
    SSEMiddleware,
    presets,
)
from tests.served import ClosedStreams, OopsError, call, observed, swallow

pytestmark = pytest.mark.anyio


def told(error: Exception) -> ServerSentEvent:
    return ServerSentEvent(event="failed", data=type(error).__name__)


async def failing() -> AsyncIterator[Any]:
    yield 1
    raise OopsError


def failing_in_a_thread() -> Iterator[Any]:
    yield 1
    raise OopsError


async def refused() -> AsyncIterator[Any]:
    yield 1
    yield object()


async def failing_in_cleanup() -> AsyncIterator[Any]:
    try:
        yield 1
        yield object()
    finally:
        await anyio.sleep(1)


async def failing_at_once() -> AsyncIterator[Any]:
    raise OopsError
    yield 1


ITEMS = [failing, failing_in_a_thread, refused, failing_in_cleanup]


async def served(content: Any, **settings: Any) -> tuple[list[Any], ClosedStreams, Exception]:
    """Serve a stream that fails. Return its messages, its records and the exception."""
    app, closed = observed(EventSourceResponse(content, **settings))
    messages: list[Any] = []

    async def send(message: Any) -> None:
        await swallow(message)
        messages.append(message)

    async def receive() -> Any:
        await anyio.sleep_forever()

    scope: Any = {"type": "http", "method": "GET", "path": "/", "headers": []}
    with pytest.raises((OopsError, EncodingError)) as caught:
        await app(scope, receive, send)
    return messages, closed, caught.value


def body_in(messages: list[Any]) -> bytes:
    return b"".join(message.get("body", b"") for message in messages)


def is_complete(messages: list[Any]) -> bool:
    return any(message.get("more_body", True) is False for message in messages)


@pytest.mark.parametrize("items", ITEMS)
async def test_by_default_the_body_breaks_off_after_the_error_event(items: Any) -> None:
    messages, closed, error = await served(items(), error_event=told)
    name = type(error).__name__
    assert body_in(messages) == f'data: 1\n\nevent: failed\ndata: "{name}"\n\n'.encode()
    assert not is_complete(messages)
    assert closed.reasons == [CloseReason.ERROR]


@pytest.mark.parametrize("items", ITEMS)
async def test_the_body_is_complete_after_the_error_event_if_that_is_set(items: Any) -> None:
    messages, closed, error = await served(items(), error_event=told, complete_after_error=True)
    name = type(error).__name__
    assert body_in(messages) == f'data: 1\n\nevent: failed\ndata: "{name}"\n\n'.encode()
    assert is_complete(messages)
    assert messages[-1].get("more_body", False) is False, "nothing comes after the last message"
    assert [message.get("more_body") for message in messages].count(False) == 1
    assert closed.reasons == [CloseReason.ERROR], "observers are told that it has failed"


def no_event(_: Exception) -> None:
    return None


def fails_itself(_: Exception) -> Any:
    raise LookupError


def can_not_be_sent(_: Exception) -> Any:
    return object()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"error_event": None},
        {"error_event": no_event},
        {"error_event": fails_itself},
        {"error_event": can_not_be_sent},
    ],
)
async def test_without_an_error_event_the_body_always_breaks_off(
    caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    with caplog.at_level(logging.CRITICAL):
        messages, closed, _ = await served(failing(), **settings, complete_after_error=True)
    assert body_in(messages) == b"data: 1\n\n"
    assert not is_complete(messages)
    assert closed.reasons == [CloseReason.ERROR]


@pytest.mark.parametrize("items", ITEMS)
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, CancelledError])
async def test_an_error_event_that_fails_in_any_way_leaves_the_body_broken(
    items: Any, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Exception) -> ServerSentEvent:
        raise error

    messages, closed, raised = await served(items(), error_event=broken)
    assert body_in(messages) == b"data: 1\n\n"
    assert not is_complete(messages)
    assert closed.records[0].error is raised
    assert "no last event is sent" in caplog.text


async def test_an_error_before_the_first_event_is_no_event() -> None:
    messages, _, _ = await served(failing_at_once(), error_event=told, complete_after_error=True)
    assert messages == [], "the server answers 500"


async def test_a_preset_tells_of_the_error_and_does_not_send_its_last_event() -> None:
    messages, _, _ = await served(failing(), preset=presets.OPENAI, complete_after_error=True)
    assert is_complete(messages)
    assert b"error" in body_in(messages)
    assert b"[DONE]" not in body_in(messages)


async def test_a_compressed_body_is_complete_too() -> None:
    app, _ = observed(
        EventSourceResponse(
            failing(), compression=["gzip"], error_event=told, complete_after_error=True
        )
    )
    messages: list[Any] = []

    async def send(message: Any) -> None:
        await swallow(message)
        messages.append(message)

    async def receive() -> Any:
        await anyio.sleep_forever()

    headers = [(b"accept-encoding", b"gzip")]
    scope: Any = {"type": "http", "method": "GET", "path": "/", "headers": headers}
    with pytest.raises(OopsError):
        await app(scope, receive, send)
    decoder = zlib.decompressobj(wbits=31)
    assert decoder.decompress(body_in(messages)).endswith(b'data: "OopsError"\n\n')
    assert decoder.eof, "the codec has written its end"


class CauseError(Exception):
    """What an error of the user's own was raised in."""


def fail_in_a_handler(_: object = None) -> NoReturn:
    try:
        raise CauseError  # noqa: TRY301 - that is what this is about
    except CauseError:
        raise OopsError  # noqa: B904 - the same


async def failing_later() -> AsyncIterator[Any]:
    yield 1
    await anyio.sleep(1)
    fail_in_a_handler()


def failing_later_in_a_thread() -> Iterator[Any]:
    yield 1
    fail_in_a_handler()


async def failing_natively(scope: Scope, receive: Receive, send: Send) -> None:
    await EventSourceResponse(failing_later())(scope, receive, send)


async def failing_in_a_thread_later(scope: Scope, receive: Receive, send: Send) -> None:
    await EventSourceResponse(failing_later_in_a_thread())(scope, receive, send)


async def failing_adopted(_scope: Scope, _receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
    fail_in_a_handler()


async def with_filter(scope: Scope, receive: Receive, send: Send) -> None:
    async with Hub() as hub:
        await hub.publish("topic", 1)
        events = hub.subscribe("topic", after="start", where=fail_in_a_handler)
        await EventSourceResponse(events)(scope, receive, send)


@pytest.mark.parametrize(
    "app", [failing_natively, failing_in_a_thread_later, failing_adopted, with_filter]
)
async def test_an_error_keeps_what_it_was_raised_in(app: Any) -> None:
    async def handling(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            raise LookupError  # noqa: TRY301 - as a framework calls an endpoint
        except LookupError:  # as an exception handler does, whose answer is a stream
            await SSEMiddleware(app)(scope, receive, send)

    with pytest.raises(OopsError) as caught:
        await call(handling)
    assert isinstance(caught.value.__context__, CauseError)
