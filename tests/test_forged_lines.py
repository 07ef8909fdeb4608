"""Nothing that a request or a body says can begin a line of a log, or steer a terminal."""

import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from threading import Event
from typing import Any

import anyio
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from sse_middleware import EventSourceResponse, LegacyRoute, SSEMiddleware
from sse_middleware.errors import BodyError
from sse_middleware.observers import LoggingObserver, StreamRecord
from tests.patience import PATIENCE
from tests.served import client_of

pytestmark = pytest.mark.anyio

UGLY = "a%0DWARNING%20forged%1B%5B2J%E2%80%A8%C2%85%00%F0%9F%98%80"
WITH_NEWLINE = f"{UGLY}%0Ab"  # no pattern of a route matches it
LONG = "x" * 10_000
TEXT = "b\nWARNING forged\r\x1b[2J\u2028\x85\0"

Sent = AsyncIterator[bytes]


def answering(*chunks: bytes, media_type: str, **headers: str) -> Callable[[Request], Any]:
    """Return an endpoint with this body, that fails at its end if there is none."""

    async def body() -> Sent:
        for chunk in chunks:
            yield chunk
            await anyio.sleep(1)

    async def endpoint(_: Request) -> Response:
        return StreamingResponse(body(), media_type=media_type, headers=headers)

    return endpoint


def served(endpoint: Callable[[Request], Any]) -> Any:
    """Return an application that has this endpoint at every path."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await (await endpoint(Request(scope)))(scope, receive, send)

    return app


def failing_poll() -> Callable[[Request], Any]:
    calls = []

    async def endpoint(request: Request) -> Response:
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError(f"{request.url.path}{TEXT}{LONG}")
        return JSONResponse(1)

    return endpoint


async def endless() -> AsyncIterator[int]:
    yield 1
    await anyio.sleep_forever()


def raising(_: StreamRecord) -> None:
    raise LookupError


NDJSON = "application/x-ndjson"
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "a malformed piece": (answering(TEXT.encode() + b"\n", media_type=NDJSON), {}),
    "a piece without its id": (
        answering(json.dumps({TEXT: LONG}).encode() + b"\n", media_type=NDJSON),
        {"id": "{json[id]}"},
    ),
    "a piece that fails": (
        answering(b"1\n" + TEXT.encode() + b"\n", media_type=NDJSON),
        {"malformed": "fail"},
    ),
    "a dropped piece": (
        answering(b"1\n" + TEXT.replace("\n", "").encode(), media_type=NDJSON),
        {"unfinished": "drop"},
    ),
    "invalid text": (answering(b"\xff\x1b[2J\n", media_type="text/plain"), {}),
    "an encoded body": (
        answering(b"1\n", media_type=NDJSON, **{"content-encoding": f"x\x1b[2J{LONG}"}),
        {},
    ),
    "a type that nothing converts": (
        answering(b"1", media_type="application/x-\x1b[2J"),
        {"always": True},
    ),
    "a poll": (failing_poll(), {"poll": 1.0}),
}


@pytest.mark.parametrize(
    ("case", "path"),
    [
        *((case, path) for case in CASES for path in (UGLY, LONG)),
        *((case, WITH_NEWLINE) for case in CASES if not CASES[case][1]),
    ],
    ids=lambda value: value[:30],
)
async def test_a_warning_is_one_line(
    case: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint, options = CASES[case]
    caplog.set_level(logging.DEBUG, "sse_middleware")
    app = SSEMiddleware(
        served(endpoint),
        legacy=[LegacyRoute("/{rest:path}", **options)] if options else [],
        observers=[LoggingObserver(), raising],
        client_key=lambda connection: connection.headers["x-key"],
        max_duration=5,
    )
    headers = {"accept": "text/event-stream", "x-key": f"\x1b[2J{LONG}"}
    shown: list[str] = []
    async with client_of(app) as client:
        try:
            await client.http.get(f"/{path}?{path}", headers=headers)
        except BodyError as error:
            shown.append(str(error))
        except RuntimeError:  # the endpoint's own
            pass
    messages = [record.getMessage() for record in caplog.records]
    assert any(record.levelno >= logging.WARNING for record in caplog.records)
    fields = [
        value
        for record in caplog.records
        for name, value in vars(record).items()
        if name.startswith("stream_") and isinstance(value, str)
    ]
    for line in [*messages, *fields, *shown]:
        assert all(" " <= letter <= "~" for letter in line), line
        assert len(line) < 1500


@pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True)
async def test_a_generator_that_hangs_is_named_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def foreign(_: Request) -> Response:
        async def body() -> Sent:
            try:
                yield b"data: 1\n\n"
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(60)

        return StreamingResponse(body(), media_type="text/event-stream")

    app = SSEMiddleware(served(foreign), max_duration=1, cleanup_timeout=1)
    async with (
        client_of(app, patience=1000) as client,
        client.stream("GET", f"/{WITH_NEWLINE}") as events,
    ):
        await events.next()
        await anyio.sleep(3)
    messages = [record.getMessage() for record in caplog.records]
    assert messages
    for line in messages:
        assert all(" " <= letter <= "~" for letter in line), line


class Named:
    """An iterator that is shown by what its request said, and whose `close` says it again."""

    def __init__(self, topic: str) -> None:
        self.waits, self.done = Event(), Event()
        self._topic = topic
        self._items = iter([1])

    def __repr__(self) -> str:
        return f"<Named {self._topic}>"

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        for item in self._items:
            return item
        self.waits.set()
        self.done.wait(PATIENCE)
        raise StopIteration

    def close(self) -> None:
        raise LookupError


class SaidError(Exception):
    """An error that is shown as it is."""

    def __repr__(self) -> str:
        return str(self)


class Told(logging.Handler):
    """Keeps each line, and notices the one that is waited for."""

    def __init__(self, awaited: str) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.found = anyio.Event()
        self._awaited = awaited

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        if self._awaited in self.lines[-1]:
            self.found.set()


async def test_an_iterator_in_a_thread_is_named_in_one_line() -> None:
    told = Told("failed after its stream had ended")
    logger = logging.getLogger("sse_middleware.stream.thread_producer")
    named = Named(TEXT)
    logger.addHandler(told)

    async def stream(_: Request) -> Response:
        return EventSourceResponse(named, cleanup_timeout=0)

    async with client_of(served(stream)) as client:
        async with client.stream("GET", "/") as events:
            await events.next()
            assert await anyio.to_thread.run_sync(named.waits.wait, PATIENCE)
        named.done.set()
        await told.found.wait()
    logger.removeHandler(told)
    assert len(told.lines) == 2
    for line in told.lines:
        assert line.startswith("Named ")
        assert all(" " <= letter <= "~" for letter in line)


async def test_the_cause_of_an_event_that_can_not_be_made_is_shown_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def failing() -> AsyncIterator[int]:
        yield 1
        raise SaidError(TEXT)

    def error_event(_: Exception) -> object:
        raise LookupError

    response = EventSourceResponse(failing(), error_event=error_event)
    async with client_of(response) as client:
        with pytest.raises(SaidError):
            await client.http.get("/")
    (record,) = caplog.records
    assert all(" " <= letter <= "~" for letter in record.getMessage())


async def test_a_refusal_says_nothing_of_the_request() -> None:
    async def stream(_: Request) -> Response:
        return EventSourceResponse(endless())

    app = SSEMiddleware(served(stream), max_streams=1)
    async with client_of(app) as client, client.stream("GET", f"/{UGLY}") as events:
        await events.next()
        refused = await client.http.get(f"/{UGLY}")
    assert refused.status_code == 503
    assert refused.text.isascii()
    assert "forged" not in refused.text
