"""The latch on the end of a connection, and the request's body while a stream is open."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, Router

from sse_middleware import EventSourceResponse, SSEMiddleware, event_stream
from sse_middleware.stream.connection import UNREAD_BODY_BOUND, Connection
from sse_middleware.testing import EventClient
from tests.served import client_of, swallow

pytestmark = pytest.mark.anyio

DISCONNECT = {"type": "http.disconnect"}


class Server:
    """A `receive` that says each message once and then blocks for ever, as two servers do."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages = list(messages)
        self.calls = 0

    async def receive(self) -> dict[str, Any]:
        self.calls += 1
        if not self.messages:
            await anyio.sleep_forever()
        return self.messages.pop(0)


def body(content: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": content, "more_body": more}


async def test_a_disconnect_is_said_as_often_as_it_is_asked_for() -> None:
    connection = Connection(Server(body(b"", more=False), DISCONNECT).receive)
    assert await connection.receive() == body(b"", more=False)
    for _ in range(3):
        assert await connection.receive() == DISCONNECT


async def test_a_disconnect_that_the_application_has_read_ends_a_stream_at_once() -> None:
    connection = Connection(Server(DISCONNECT).receive)
    await connection.receive()
    ended = []
    await connection.watch(lambda: ended.append(True))
    assert ended == [True]


async def test_the_watcher_is_the_only_reader_and_tells_the_application() -> None:
    server = Server(body(b"a"), body(b"b", more=False), DISCONNECT)
    connection = Connection(server.receive)
    await connection.watch(lambda: None)
    calls = server.calls
    assert [await connection.receive() for _ in range(4)] == [
        body(b"a"),
        body(b"b", more=False),
        DISCONNECT,
        DISCONNECT,
    ]
    assert server.calls == calls


async def test_an_application_that_waits_is_woken() -> None:
    gate = anyio.Event()

    async def receive() -> dict[str, Any]:
        await gate.wait()
        return DISCONNECT

    connection = Connection(receive)
    got = []

    async def application() -> None:
        got.append(await connection.receive())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(connection.watch, lambda: None)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(application)
        tasks.start_soon(application)
        await anyio.wait_all_tasks_blocked()
        gate.set()
    assert got == [DISCONNECT, DISCONNECT]


async def test_a_call_of_the_application_that_is_under_way_is_waited_for() -> None:
    arrived = anyio.Event()
    inside = most = 0
    messages = [body(b"a"), body(b"b", more=False), DISCONNECT]

    async def receive() -> dict[str, Any]:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await arrived.wait()
        inside -= 1
        return messages.pop(0)

    connection = Connection(receive)
    got = []

    async def application() -> None:
        got.extend([await connection.receive() for _ in range(3)])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(application)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(connection.watch, lambda: None)
        await anyio.wait_all_tasks_blocked()
        arrived.set()
    assert got == [body(b"a"), body(b"b", more=False), DISCONNECT]
    assert most == 1


async def test_a_body_that_nobody_reads_is_kept_up_to_a_bound() -> None:
    piece = body(b"x" * (UNREAD_BODY_BOUND // 4))
    server = Server(*[piece] * 100, DISCONNECT)
    connection = Connection(server.receive)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(connection.watch, lambda: None)
        await anyio.wait_all_tasks_blocked()
        assert server.calls == 4
        for _ in range(100):
            assert await connection.receive() == piece
        assert await connection.receive() == DISCONNECT


async def test_a_complete_response_is_an_end_too() -> None:
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
    await anyio.sleep(3)  # the status line has gone, the watcher is at work
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
async def test_a_client_that_leaves_after_posting_is_noticed(middleware: bool) -> None:
    closed = []

    async def items() -> AsyncIterator[int]:
        try:
            yield 1
            await anyio.sleep_forever()
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
    messages = [body(b"a"), body(b"b", more=False), DISCONNECT]

    async def receive() -> dict[str, Any]:
        await gate.wait()
        return messages.pop(0)

    connection = Connection(receive)
    got = []

    async def application() -> None:
        got.extend([await connection.receive() for _ in range(3)])

    async with anyio.create_task_group() as tasks:
        with anyio.move_on_after(1):
            await connection.watch(lambda: None)
        tasks.start_soon(application)
        gate.set()
    assert got == [body(b"a"), body(b"b", more=False), DISCONNECT]


async def test_a_reader_that_waits_while_the_watcher_ends_reads_itself() -> None:
    gate = anyio.Event()

    async def receive() -> dict[str, Any]:
        await gate.wait()
        return DISCONNECT

    connection = Connection(receive)
    got = []

    async def application() -> None:
        got.append(await connection.receive())

    async with anyio.create_task_group() as tasks, anyio.create_task_group() as watching:
        watching.start_soon(connection.watch, lambda: None)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(application)
        await anyio.wait_all_tasks_blocked()
        watching.cancel_scope.cancel()
        gate.set()
    assert got == [DISCONNECT]


async def test_an_exception_handler_may_read_the_body_that_has_not_arrived() -> None:
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
async def test_the_body_is_left_to_who_reads_it_behind_a_stream_of_one_message(
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
