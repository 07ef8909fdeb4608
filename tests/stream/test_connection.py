"""The latch on the end of a connection, and the request's body while a stream is open."""

from collections.abc import AsyncIterator
from typing import Any, NoReturn

import anyio
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, Router

from sse_middleware import EventSourceResponse, SSEMiddleware, event_stream
from sse_middleware.errors import RequestBodyError
from sse_middleware.stream.connection import (
    MESSAGES_A_PASS,
    READER_PATIENCE,
    UNREAD_BODY_BOUND,
    UNREAD_PATIENCE,
    Connection,
)
from sse_middleware.testing import EventClient
from tests.served import client_of, swallow

pytestmark = pytest.mark.anyio

DISCONNECT = {"type": "http.disconnect"}


class Server:
    """A `receive` that gives each message once and then blocks for ever, as two servers do.

    Args:
        messages: what it gives.
        gate: what it waits for before each message.
    """

    def __init__(self, *messages: dict[str, Any], gate: anyio.Event | None = None) -> None:
        self.messages = list(messages)
        self.gate = gate
        self.calls = 0
        self.running = 0
        self.most_running = 0

    async def receive(self) -> dict[str, Any]:
        self.calls += 1
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        if self.gate is not None:
            await self.gate.wait()
        if not self.messages:
            await anyio.sleep_forever()
        self.running -= 1
        return self.messages.pop(0)


class Watcher:
    """Is told of the end of a connection."""

    def __init__(self) -> None:
        self.lost = anyio.Event()
        self.error: BaseException | None = None

    def connection_lost(self) -> None:
        assert not self.lost.is_set()
        self.lost.set()

    def fail(self, error: BaseException) -> None:
        self.error = error


class Reader:
    """An application that reads some messages."""

    def __init__(self, connection: Connection) -> None:
        self.messages: list[Any] = []
        self._connection = connection

    async def read(self, count: int = 1) -> None:
        for _ in range(count):
            self.messages.append(await self._connection.receive())


def body(content: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": content, "more_body": more}


UPLOAD = [body(b"a"), body(b"b", more=False), DISCONNECT]
JOINED = body(b"ab", more=False)


async def test_a_disconnect_can_be_read_any_number_of_times() -> None:
    connection = Connection(Server(body(b"", more=False), DISCONNECT).receive)
    assert await connection.receive() == body(b"", more=False)
    for _ in range(3):
        assert await connection.receive() == DISCONNECT


async def test_a_disconnect_that_the_application_has_read_ends_a_stream_at_once() -> None:
    connection = Connection(Server(DISCONNECT).receive)
    await connection.receive()
    watcher = Watcher()
    await connection.watch(watcher)
    assert watcher.lost.is_set()


async def test_the_watcher_is_the_only_reader_and_tells_the_application() -> None:
    server = Server(*UPLOAD)
    connection = Connection(server.receive)
    await connection.watch(Watcher())
    calls = server.calls
    assert [await connection.receive() for _ in range(3)] == [JOINED, DISCONNECT, DISCONNECT]
    assert server.calls == calls


async def test_applications_that_wait_are_woken() -> None:
    gate = anyio.Event()
    connection = Connection(Server(DISCONNECT, gate=gate).receive)
    reader = Reader(connection)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(connection.watch, Watcher())
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(reader.read)
        tasks.start_soon(reader.read)
        await anyio.wait_all_tasks_blocked()
        gate.set()
    assert reader.messages == [DISCONNECT, DISCONNECT]


async def test_the_watcher_waits_for_a_call_of_the_application() -> None:
    gate = anyio.Event()
    server = Server(*UPLOAD, gate=gate)
    connection = Connection(server.receive)
    reader = Reader(connection)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reader.read, 3)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(connection.watch, Watcher())
        await anyio.wait_all_tasks_blocked()
        gate.set()
    assert reader.messages == UPLOAD
    assert server.most_running == 1


async def test_an_application_that_reads_gets_a_long_body_whole() -> None:
    piece = body(b"x" * (UNREAD_BODY_BOUND // 4))
    server = Server(*[piece] * 100, DISCONNECT)
    connection = Connection(server.receive)
    read = 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(connection.watch, Watcher())
        await anyio.wait_all_tasks_blocked()
        assert server.calls == 4
        while (message := await connection.receive()) != DISCONNECT:
            read += len(message["body"])
            await anyio.sleep(READER_PATIENCE / 2)
    assert read == 25 * UNREAD_BODY_BOUND


@pytest.mark.parametrize(
    "pieces",
    [[b"x" * 66_000], [b"x"] * 70_000, [b""] * 100_000, [b"x", b""] * 70_000],
    ids=["one", "of a byte", "empty", "mixed"],
)
async def test_an_unread_body_never_hides_the_disconnect(pieces: list[bytes]) -> None:
    server = Server(*map(body, pieces), DISCONNECT)
    connection = Connection(server.receive)
    watcher = Watcher()
    with anyio.fail_after(2 * UNREAD_PATIENCE):
        await connection.watch(watcher)
    assert watcher.lost.is_set()
    kept = await connection.receive()
    if kept != DISCONNECT:
        assert 0 < len(kept["body"]) <= UNREAD_BODY_BOUND + max(map(len, pieces))
        assert await connection.receive() == DISCONNECT


async def test_a_message_of_another_type_is_kept_too() -> None:
    other = {"type": "http.other"}
    connection = Connection(Server(other, DISCONNECT).receive)
    await connection.watch(Watcher())
    reader = Reader(connection)
    await reader.read(2)
    assert reader.messages == [other, DISCONNECT]


async def test_the_watcher_is_told_what_the_server_raises() -> None:
    async def receive() -> NoReturn:
        raise OSError("the server has failed")

    watcher = Watcher()
    await Connection(receive).watch(watcher)
    assert str(watcher.error) == "the server has failed"


async def test_what_was_dropped_is_an_error_where_it_is_read() -> None:
    server = Server(*[body(b"x" * UNREAD_BODY_BOUND)] * 3)
    connection = Connection(server.receive)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(connection.watch, Watcher())
        await anyio.sleep(2 * UNREAD_PATIENCE)
        assert len((await connection.receive())["body"]) == UNREAD_BODY_BOUND
        with pytest.raises(RequestBodyError, match="read the body before the first event"):
            await connection.receive()
        tasks.cancel_scope.cancel()


async def test_messages_that_are_there_already_do_not_hold_up_the_event_loop() -> None:
    server = Server(*[body(b"")] * 1_000, DISCONNECT)
    connection = Connection(server.receive)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        await connection.watch(Watcher())
        tasks.cancel_scope.cancel()
    assert turns > 1_000 // MESSAGES_A_PASS // 2


async def test_a_complete_response_is_a_disconnect_too() -> None:
    server = Server()
    connection = Connection(server.receive)

    async def send(_message: Any) -> None:
        await anyio.lowlevel.checkpoint()

    sending = connection.sending(send)
    await sending({"type": "http.response.start", "status": 200, "headers": []})
    await sending({"type": "http.response.body", "body": b"", "more_body": True})
    assert not connection.complete
    await sending({"type": "http.response.body", "body": b""})
    assert connection.complete
    assert await connection.receive() == DISCONNECT
    assert server.calls == 0


async def echo(request: Request) -> AsyncIterator[Any]:
    yield await request.json()


async def slow_echo(request: Request) -> AsyncIterator[Any]:
    await anyio.sleep(3)  # the status line was sent, the watcher reads
    yield await request.json()
    yield await request.is_disconnected()


@pytest.mark.parametrize("endpoint", [echo, slow_echo])
@pytest.mark.parametrize("middleware", [True, False])
@pytest.mark.parametrize("method", ["POST", "PUT", "QUERY"])
async def test_a_generator_may_read_the_body(endpoint: Any, middleware: bool, method: str) -> None:
    app: Any = Router([Route("/", event_stream(endpoint), methods=[method])])
    if middleware:
        app = SSEMiddleware(app)
    async with EventClient(app) as client:
        response = await client.http.request(method, "/", content=b'{"a":1}')
    assert response.content.startswith(b'data: {"a":1}\n\n')


@pytest.mark.parametrize("middleware", [True, False])
async def test_a_generator_may_ask_whether_the_client_has_gone(middleware: bool) -> None:
    async def endpoint(request: Request) -> AsyncIterator[bool]:
        while True:
            yield await request.is_disconnected()
            await anyio.sleep(1)

    app: Any = Router([Route("/", event_stream(endpoint))])
    app = SSEMiddleware(app) if middleware else app
    async with EventClient(app) as client, client.stream("GET", "/") as events:
        assert [event.json() for event in await events.take(3)] == [False] * 3


@pytest.mark.parametrize("middleware", [True, False])
async def test_a_client_that_posted_and_leaves_is_noticed(middleware: bool) -> None:
    closed = []

    async def items() -> AsyncIterator[int]:
        try:
            yield 1
            await anyio.sleep_forever()
            yield 0  # it could go on
        finally:
            closed.append(True)

    app: Any = EventSourceResponse(items())
    app = SSEMiddleware(app) if middleware else app
    async with client_of(app) as client, client.stream("POST", "/", content=b"unread") as events:
        await events.next()
        await events.disconnect()
        assert closed


async def test_an_application_may_read_on_after_the_watcher_has_ended() -> None:
    gate = anyio.Event()
    connection = Connection(Server(*UPLOAD, gate=gate).receive)
    reader = Reader(connection)
    with anyio.move_on_after(1):
        await connection.watch(Watcher())
    gate.set()
    await reader.read(3)
    assert reader.messages == UPLOAD


async def test_an_application_that_waits_when_the_watcher_ends_reads_itself() -> None:
    gate = anyio.Event()
    connection = Connection(Server(DISCONNECT, gate=gate).receive)
    reader = Reader(connection)
    async with anyio.create_task_group() as tasks, anyio.create_task_group() as watching:
        watching.start_soon(connection.watch, Watcher())
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(reader.read)
        await anyio.wait_all_tasks_blocked()
        watching.cancel_scope.cancel()
        gate.set()
    assert reader.messages == [DISCONNECT]


async def test_an_exception_handler_may_read_a_body_that_arrives_later() -> None:
    arrived = anyio.Event()

    async def upload() -> AsyncIterator[bytes]:
        await arrived.wait()
        yield b"late"

    async def failing() -> AsyncIterator[int]:
        await anyio.sleep(0.1)
        raise KeyError
        yield 1

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await EventSourceResponse(failing())(scope, receive, send)
        except KeyError:
            arrived.set()
            body = await Request(scope, receive).body()
            await PlainTextResponse(body)(scope, receive, send)

    async with client_of(SSEMiddleware(app)) as client:
        assert (await client.http.post("/", content=upload())).content == b"late"


@pytest.mark.parametrize("middleware", [True, False])
async def test_the_body_may_be_read_after_a_stream_of_one_message(
    middleware: bool,
) -> None:
    got = []

    async def items() -> AsyncIterator[int]:
        yield 1

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await EventSourceResponse(items())(scope, receive, send)
        got.append(await receive())

    server = Server(body(b"late", more=False))
    app: Any = SSEMiddleware(application) if middleware else application
    await app(
        {"type": "http", "method": "POST", "path": "/", "headers": []}, server.receive, swallow
    )
    assert got == [body(b"late", more=False)]
