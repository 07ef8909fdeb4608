"""One request in memory: each message arrives when it is sent, and nothing hangs."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import anyio
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sse_middleware.testing import NoAnswerError, ProtocolError, StillRunningError, TestingError
from sse_middleware.testing.exchange import Exchange
from tests.testing.messages import END, body, start

pytestmark = pytest.mark.anyio


async def upload(*chunks: bytes) -> AsyncGenerator[bytes, None]:
    for chunk in chunks:
        yield chunk


@asynccontextmanager
async def request(
    app: ASGIApp, *chunks: bytes, method: str = "GET", **options: Any
) -> AsyncIterator[Exchange]:
    """Send a request; at the end its client has left."""
    scope = {"type": "http", "method": method, "path": "/events"}
    exchange = Exchange(app, scope, upload(*chunks), **options)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(exchange.serve)
        try:
            yield exchange
        except BaseException:
            exchange._serving.cancel()  # not to wait for it in a test that has failed
            raise
        exchange.leave()


def sends(*messages: Any) -> ASGIApp:
    """Return an application that sends these messages, and waits until its client leaves."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        while (await receive())["type"] != "http.disconnect":
            pass

    return app


async def raised_by(call: Callable[[], Awaitable[Any]]) -> str:
    with pytest.raises(TestingError) as caught:
        await call()
    return f"{type(caught.value).__name__}: {caught.value}"


class TestReading:
    async def test_the_head_arrives_before_any_body(self) -> None:
        async with request(sends(start(201, (b"x", b"1")))) as exchange:
            head = await exchange.head()
            assert (head.status, head.headers[-1]) == (201, (b"x", b"1"))
            assert not exchange.ended

    async def test_each_chunk_arrives_as_it_was_sent_and_an_empty_one_at_the_end(self) -> None:
        app = sends(start(), body(b"one"), body(), body(b"two"), END)
        async with request(app) as exchange:
            assert [await exchange.chunk() for _ in range(4)] == [b"one", b"two", b"", b""]

    async def test_takes_statuses_of_the_standard_library_and_any_bytes(self) -> None:
        app = sends(
            {"type": "http.response.start", "status": HTTPStatus.CREATED},
            body(bytearray(b"one")),
            body(memoryview(b"two")),
            END,
        )
        async with request(app) as exchange:
            head = await exchange.head()
            assert (head.status, head.headers) == (201, [])
            assert [await exchange.chunk() for _ in range(3)] == [b"one", b"two", b""]

    async def test_the_response_to_a_head_request_has_no_body(self) -> None:
        app = sends(start(), body(b"one", more=False))
        async with request(app, method="HEAD") as exchange:
            assert await exchange.chunk() == b""

    async def test_is_possible_after_the_disconnect(self) -> None:
        async with request(sends(start(), body(b"one"))) as exchange:
            await exchange.head()
            await exchange.disconnect()
            assert [await exchange.chunk() for _ in range(2)] == [b"one", b""]

    async def test_shows_its_progress(self) -> None:
        steps = [anyio.Event(), anyio.Event()]

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await steps[0].wait()
            await send(start())
            await steps[1].wait()
            await send(END)

        async with request(app) as exchange:
            seen = [repr(exchange)]
            steps[0].set()
            await exchange.head()
            seen.append(repr(exchange))
            steps[1].set()
            await exchange.disconnect()
            seen.append(repr(exchange))
        assert seen == [
            "<GET /events: running, before http.response.start>",
            "<GET /events: running, within its body>",
            "<GET /events: ended, after its last http.response.body>",
        ]


class TestBackpressure:
    async def test_send_waits_while_a_window_is_unread(self) -> None:
        sent = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            for number in range(100):
                await send(body(b"%05d" % number))
                sent.append(number)

        async with request(app, window=20) as exchange:
            await exchange.head()
            await anyio.wait_all_tasks_blocked()
            assert sent == [0, 1, 2]
            assert await exchange.chunk() == b"00000"
            await anyio.wait_all_tasks_blocked()
            assert sent == [0, 1, 2, 3]

    async def test_other_tasks_run_between_messages(self) -> None:
        turns: list[int] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(other)
                await send(body(b"x"))
                assert not turns
                await send(body())
                await send(body())
                assert turns

        async def other() -> None:
            turns.append(1)

        async with request(app) as exchange:
            await anyio.wait_all_tasks_blocked()
            await exchange.disconnect()

    async def test_messages_after_the_disconnect_are_dropped(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            assert (await receive())["type"] == "http.disconnect"
            await send(start())
            for _ in range(10):
                await send(body(b"x" * 1000))

        async with request(app, window=1) as exchange:
            await exchange.disconnect()
            assert await exchange.chunk() == b""


class TestUpload:
    async def test_its_chunks_arrive_and_then_the_disconnect(self) -> None:
        received = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            received.extend([await receive() for _ in range(3)])
            await send(start())
            received.extend([await receive() for _ in range(2)])

        async with request(app, b"one", b"two") as exchange:
            await exchange.head()
            assert [message["body"] for message in received] == [b"one", b"two", b""]
            assert [message["more_body"] for message in received] == [True, True, False]
            await exchange.disconnect()
            assert received[3:] == [{"type": "http.disconnect"}] * 2

    async def test_after_a_complete_response_the_disconnect_arrives(self) -> None:
        seen: list[Message] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send(start())
            await send(END)
            seen.append(await receive())

        async with request(app) as exchange:
            await exchange.disconnect()
        assert seen == [{"type": "http.disconnect"}]

    async def test_waits_for_the_application_and_is_closed_at_the_end(
        self,
    ) -> None:
        log: list[Any] = []

        async def chunks() -> AsyncGenerator[bytes, None]:
            try:
                for number in range(100):
                    log.append(number)
                    yield b"%d" % number
            finally:
                log.append("closed")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send(start())
            await receive()

        scope = {"type": "http", "method": "POST", "path": "/"}
        exchange = Exchange(app, scope, chunks())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(exchange.serve)
            await exchange.head()
        assert log == [0, 1, 2, 3, "closed"]  # one ready, one waiting for its place

    async def test_its_error_is_raised_to_the_client(self) -> None:
        async def chunks() -> AsyncGenerator[bytes, None]:
            yield b"one"
            raise LookupError("of the test")

        exchange = Exchange(sends(), {"method": "POST", "path": "/"}, chunks())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(exchange.serve)
            with pytest.raises(LookupError, match="of the test"):
                await exchange.head()


class TestErrorsOfTheApplication:
    async def test_before_the_head_are_raised_in_its_place(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            raise LookupError("early")

        async with request(app) as exchange:
            with pytest.raises(LookupError, match="early"):
                await exchange.head()
            await exchange.disconnect()

    async def test_within_the_body_are_raised_after_the_last_chunk(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            await send(body(b"one"))
            raise LookupError("late")

        async with request(app) as exchange:
            await anyio.wait_all_tasks_blocked()
            assert (await exchange.head()).status == 200
            assert await exchange.chunk() == b"one"
            with pytest.raises(LookupError, match="late"):
                await exchange.chunk()

    async def test_after_the_body_are_raised_once_at_the_disconnect(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            await send(END)
            raise LookupError("after all")

        async with request(app) as exchange:
            assert await exchange.chunk() == b""
            await exchange.disconnect(silent=True)
            assert exchange.failed
            with pytest.raises(LookupError, match="after all"):
                await exchange.disconnect()
            assert not exchange.failed
            await exchange.disconnect()


class TestNothingHangs:
    @pytest.mark.parametrize(
        ("waits", "doing"),
        [
            ("receive", "waits in receive()"),
            ("elsewhere", "waits neither in receive() nor in send()"),
        ],
    )
    async def test_an_application_that_never_answers(self, waits: str, doing: str) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await (receive() if waits == "receive" else anyio.Event().wait())

        async with request(app, patience=3) as exchange:
            began = anyio.current_time()
            assert await raised_by(exchange.head) == (
                "NoAnswerError: GET /events: no http.response.start within patience=3 s; "
                f"the application {doing}"
            )
            assert anyio.current_time() - began == pytest.approx(3)
            exchange.leave()
            if waits == "elsewhere":
                await raised_by(exchange.disconnect)

    async def test_an_application_that_ends_without_an_answer(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            pass

        async with request(app) as exchange:
            assert await raised_by(exchange.head) == (
                "NoAnswerError: GET /events ended without http.response.start"
            )

    async def test_an_application_that_ends_within_its_body(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            await send(body(b"one"))

        async with request(app) as exchange:
            assert await exchange.chunk() == b"one"
            assert await raised_by(exchange.chunk) == (
                "ProtocolError: GET /events ended without its last http.response.body"
            )

    async def test_an_application_that_does_not_end_is_cancelled(self) -> None:
        log = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await send(start())
                await anyio.sleep_forever()
            finally:
                log.append("finally")

        async with request(app, patience=7) as exchange:
            await exchange.head()
            began = anyio.current_time()
            assert await raised_by(exchange.disconnect) == (
                "StillRunningError: GET /events is still running patience=7 s after its client "
                "has left: the application waits neither in receive() nor in send()"
            )
            assert anyio.current_time() - began == pytest.approx(7)
        assert log == ["finally"]
        assert exchange.ended

    async def test_an_application_that_never_stops_sending_is_cancelled(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            while True:
                await send(body(b"x"))

        async with request(app, patience=1) as exchange:
            await exchange.head()
            with pytest.raises(StillRunningError, match=r"waits in send\(\)$"):
                await exchange.disconnect()

    async def test_a_cancelled_reader_gets_no_chunk(self) -> None:
        async with request(sends(start(), body(b"one"))) as exchange:
            await anyio.wait_all_tasks_blocked()
            with anyio.CancelScope() as scope:
                scope.cancel()
                await exchange.chunk()
            assert scope.cancelled_caught
            assert await exchange.chunk() == b"one"


class TestInvalidMessages:
    @pytest.mark.parametrize(
        ("messages", "complaint"),
        [
            ([body(b"x")], "'http.response.body' before http.response.start"),
            ([{}], "None before http.response.start"),
            ([{"type": "http.response.push"}], "'http.response.push' before http.response.start"),
            ([start("200")], "status='200', which must be an int"),
            ([start(status=True)], "status=True, which must be an int"),
            ([start(200, ("x", b"1"))], "the header ('x', b'1'), which must be a pair of bytes"),  # type: ignore[arg-type]
            ([start(200, 5)], "the header 5, which must be a pair of bytes"),  # type: ignore[arg-type]
            ([{**start(), "headers": None}], "headers=None, which must be pairs of bytes"),
        ],
    )
    async def test_before_the_head(self, messages: list[Message], complaint: str) -> None:
        async with request(sends(*messages)) as exchange:
            assert await raised_by(exchange.head) == f"ProtocolError: GET /events sent {complaint}"

    @pytest.mark.parametrize(
        ("messages", "complaint"),
        [
            ([start()], "'http.response.start' within its body"),
            ([body("x")], "body='x', which must be bytes"),
            ([{"type": "http.response.body", "body": None}], "body=None, which must be bytes"),
        ],
    )
    async def test_within_the_body(self, messages: list[Message], complaint: str) -> None:
        async with request(sends(start(), *messages)) as exchange:
            said = await raised_by(exchange.chunk)
        assert said == f"ProtocolError: GET /events sent {complaint}"

    @pytest.mark.parametrize("message", [start(), body(b"x"), END], ids=["start", "body", "end"])
    async def test_after_the_end(self, message: Message) -> None:
        async with request(sends(start(), END, message)) as exchange:
            assert await exchange.chunk() == b""
            said = await raised_by(exchange.disconnect)
        assert said == (
            f"ProtocolError: GET /events sent {message['type']!r} after its last http.response.body"
        )

    @pytest.mark.parametrize("wrong", [body(b"x"), start("200")])
    async def test_are_reported_also_where_the_application_catches_the_error(
        self, wrong: Any
    ) -> None:
        caught = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await send(wrong)
            except ProtocolError as error:
                caught.append(error)
            await sends(start(), END)(scope, receive, send)

        async with request(app) as exchange:
            assert (await exchange.head()).status == 200
            with pytest.raises(ProtocolError) as raised:
                await exchange.disconnect()
        assert [raised.value] == caught

    async def test_are_reported_also_where_it_then_sends_nothing(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            with pytest.raises(ProtocolError):
                await send(body(b"x"))
            await anyio.sleep_forever()

        async with request(app, patience=1) as exchange:
            with pytest.raises(ProtocolError):
                await exchange.head()
            with pytest.raises(StillRunningError):
                await exchange.disconnect()


async def test_every_error_fails_a_test() -> None:
    for kind in (NoAnswerError, ProtocolError, StillRunningError):
        assert issubclass(kind, TestingError)
    assert issubclass(TestingError, AssertionError)
