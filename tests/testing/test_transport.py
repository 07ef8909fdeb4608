"""`StreamingTransport` in the clients of httpx and of its successor."""

import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from sse_middleware.testing import (
    NoAnswerError,
    ProtocolError,
    StillRunningError,
    StreamingTransport,
    UsageError,
)
from tests.testing.messages import END, body, start

pytestmark = pytest.mark.anyio

LONG = b"x" * 1000


def client_of(app: Any, *, timeout: float | None = None, **options: Any) -> httpx.AsyncClient:
    transport = StreamingTransport(app, **options)
    return httpx.AsyncClient(transport=transport, base_url="http://test", timeout=timeout)


def scope_of(app: Any) -> tuple[Any, list[Scope]]:
    """Return an application around `app` and the list of the scopes that it sees."""
    scopes: list[Scope] = []

    async def seeing(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await app(scope, receive, send)

    return seeing, scopes


async def wait_until_the_client_leaves(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Endless:
    """Sends the numbers that it is told to until its client leaves, and then raises `error`."""

    def __init__(self, error: Exception | None = None) -> None:
        self.log: list[str] = []
        self.error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"one"))
        await wait_until_the_client_leaves(receive)
        self.log.append("left")
        if self.error is not None:
            raise self.error


@contextmanager
def raised_alone(kind: type[BaseException]) -> Iterator[pytest.ExceptionInfo[BaseException]]:
    """Expect an exception of exactly this kind: no group of one either."""
    with pytest.raises(kind) as caught:
        yield caught
    assert type(caught.value) is kind


class TestDelivery:
    async def test_the_head_arrives_first_and_each_chunk_as_it_was_sent(self) -> None:
        go_on = anyio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start(201, (b"x", b"1"), (b"x", b"2")))
            await go_on.wait()
            for chunk in (b"one", b"two"):
                await send(body(chunk))
            await send(END)

        async with client_of(app) as client, client.stream("GET", "/") as response:
            assert response.status_code == 201
            assert response.headers.get_list("x") == ["1", "2"]
            go_on.set()
            assert [chunk async for chunk in response.aiter_bytes()] == [b"one", b"two"]

    async def test_many_requests_run_at_once(self) -> None:
        app = Endless()
        async with (
            client_of(app) as client,
            client.stream("GET", "/") as one,
            client.stream("GET", "/") as two,
        ):
            assert (one.status_code, two.status_code) == (200, 200)
            await one.aclose()
            assert app.log == ["left"]
            await two.aclose()
            assert app.log == ["left", "left"]

    async def test_send_waits_at_the_window(self) -> None:
        sent: list[int] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            while len(sent) < 100:
                await send(body(LONG))
                sent.append(1)
            await send(END)

        async with client_of(app, window=5000) as client, client.stream("GET", "/") as response:
            await anyio.wait_all_tasks_blocked()
            assert len(sent) == 4
            assert len(await response.aread()) == 100 * len(LONG)

    async def test_closing_the_response_waits_until_the_application_has_ended(self) -> None:
        app = Endless()
        async with client_of(app) as client:
            async with client.stream("GET", "/") as response:
                assert response.status_code == 200
                assert app.log == []
            assert app.log == ["left"]

    async def test_the_end_of_the_client_ends_open_responses(self) -> None:
        app = Endless()
        async with client_of(app) as client:
            await client.send(client.build_request("GET", "/"), stream=True)
            assert app.log == []
        assert app.log == ["left"]

    async def test_a_compressed_body_is_decompressed(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            packed = zlib.compress(LONG)
            await send(start(200, (b"content-encoding", b"deflate")))
            await send(body(packed[:5]))
            await send(body(packed[5:], more=False))

        async with client_of(app) as client:
            assert (await client.get("/")).content == LONG


class TestUpload:
    async def test_arrives_in_its_chunks(self) -> None:
        log = []

        async def chunks() -> AsyncIterator[bytes]:
            for chunk in (b"one", b"two"):
                log.append(f"made {chunk!r}")
                yield chunk

        async def endpoint(request: Request) -> Response:
            async for chunk in request.stream():
                log.append(f"read {chunk!r}")  # noqa: PERF401 - when it is read
            return JSONResponse(request.headers["transfer-encoding"])

        async with client_of(Starlette(routes=[Route("/", endpoint, methods=["POST"])])) as client:
            assert (await client.post("/", content=chunks())).json() == "chunked"
        assert [entry for entry in log if "made" in entry] == ["made b'one'", "made b'two'"]
        assert log.index("read b'one'") < log.index("read b'two'") < log.index("read b''")

    async def test_is_closed_where_the_application_does_not_read_it(self) -> None:
        log: list[Any] = []

        async def chunks() -> AsyncIterator[bytes]:
            try:
                for number in range(100):
                    log.append(number)
                    yield LONG
            finally:
                log.append("closed")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await JSONResponse(1)(scope, receive, send)

        async with client_of(app) as client:
            assert (await client.post("/", content=chunks())).json() == 1
            assert log == [0, 1, 2, "closed"]

    async def test_may_be_a_form_with_files(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            content = await Request(scope, receive).body()
            await Response(content)(scope, receive, send)

        async with client_of(app) as client:
            answer = await client.post("/", files={"file": b"content"})
        assert b"content" in answer.content


class TestScope:
    async def test_is_like_that_of_a_server(self) -> None:
        app, scopes = scope_of(JSONResponse(1))
        async with client_of(app, client=("10.0.0.1", 5)) as client:
            await client.put("/caf%C3%A9/x%2Fy?a=%20", headers={"X-Name": "Value"})
        scope = scopes[0]
        assert scope["method"] == "PUT"
        assert scope["path"] == "/café/x/y"
        assert scope["raw_path"] == b"/caf%C3%A9/x%2Fy"
        assert scope["query_string"] == b"a=%20"
        assert (b"x-name", b"Value") in scope["headers"]
        assert (b"host", b"test") in scope["headers"]
        assert scope["client"] == ("10.0.0.1", 5)
        assert scope["root_path"] == ""

    @pytest.mark.parametrize(
        ("url", "scheme", "server"),
        [
            ("http://example.org/", "http", ("example.org", 80)),
            ("https://example.org/", "https", ("example.org", 443)),
            ("http://example.org:81/", "http", ("example.org", 81)),
        ],
    )
    async def test_names_the_server_with_its_port(
        self, url: str, scheme: str, server: tuple[str, int]
    ) -> None:
        app, scopes = scope_of(JSONResponse(1))
        async with client_of(app) as client:
            await client.get(url)
        assert (scopes[0]["scheme"], scopes[0]["server"]) == (scheme, server)

    async def test_an_application_can_be_mounted(self) -> None:
        async def endpoint(request: Request) -> Response:
            return JSONResponse([request.url.path, str(request.url_for("it"))])

        routes = [Mount("/v1", routes=[Route("/it", endpoint, name="it")])]
        async with client_of(Starlette(routes=routes), root_path="/api") as client:
            path, url = (await client.get("/v1/it")).json()
        assert (path, url) == ("/api/v1/it", "http://test/api/v1/it")

    async def test_each_request_has_the_state_for_itself(self) -> None:
        app, scopes = scope_of(JSONResponse(1))
        given = {"database": 1}
        async with client_of(app, state=given) as client:
            await client.get("/")
            scopes[0]["state"]["database"] = 2
            await client.get("/")
        assert scopes[1]["state"] == given == {"database": 1}


class TestErrorsOfTheApplication:
    async def test_before_the_head_are_raised_by_the_request(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            raise LookupError("early")

        async with client_of(app) as client:
            with raised_alone(LookupError):
                await client.get("/")

    async def test_after_the_last_chunk_are_raised_by_the_reading(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            await send(body(b"one"))
            raise LookupError("late")

        async with client_of(app) as client, client.stream("GET", "/") as response:
            chunks = response.aiter_bytes()
            assert await anext(chunks) == b"one"
            with raised_alone(LookupError):
                await anext(chunks)

    async def test_after_the_disconnect_are_raised_by_the_closing(self) -> None:
        async with client_of(Endless(LookupError())) as client:
            with raised_alone(LookupError):
                async with client.stream("GET", "/"):
                    pass

    async def test_in_the_background_are_raised_by_the_reading(self) -> None:
        async def fail() -> None:
            raise LookupError("in the background")

        app = JSONResponse(1, background=BackgroundTask(fail))
        async with client_of(app) as client:
            with raised_alone(LookupError):
                await client.get("/")

    async def test_of_an_open_response_are_raised_at_the_end_of_the_client(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            raise LookupError("unseen")

        with raised_alone(LookupError):
            async with client_of(app) as client:
                await client.send(client.build_request("GET", "/"), stream=True)
                await anyio.wait_all_tasks_blocked()

    async def test_after_the_first_are_its_notes(self) -> None:
        with raised_alone(LookupError) as caught:
            async with client_of(Endless(LookupError("each"))) as client:
                for _ in range(3):
                    await client.send(client.build_request("GET", "/"), stream=True)
        assert caught.value.__notes__ == ["afterwards: LookupError('each')"] * 2

    async def test_may_be_an_incomplete_body(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start())

        async with client_of(app) as client:
            with pytest.raises(ProtocolError, match=r"ended without its last http\.response\.body"):
                await client.get("/")


class TestErrorsOfTheTest:
    async def test_are_raised_unchanged(self) -> None:
        app = Endless()
        with raised_alone(AssertionError):
            async with client_of(app) as client, client.stream("GET", "/"):
                raise AssertionError("of the test")
        assert app.log == ["left"]

    async def test_have_errors_of_the_application_as_notes(self) -> None:
        with raised_alone(AssertionError) as caught:
            app = Endless(LookupError("later"))
            async with client_of(app) as client, client.stream("GET", "/"):
                raise AssertionError("of the test")
        assert str(caught.value) == "of the test"
        assert caught.value.__notes__ == ["afterwards: LookupError('later')"]

    async def test_that_are_caught_do_not_hide_errors_of_the_application(self) -> None:
        with raised_alone(LookupError):
            async with client_of(Endless(LookupError("later"))) as client:
                with pytest.raises(AssertionError, match="of the test"):
                    async with client.stream("GET", "/"):
                        raise AssertionError("of the test")

    async def test_may_be_a_cancellation(self) -> None:
        app = Endless()
        with anyio.move_on_after(30) as scope:
            async with client_of(app) as client, client.stream("GET", "/") as response:
                await response.aread()
        assert scope.cancelled_caught
        assert app.log == ["left"]

    async def test_may_be_a_cancellation_before_the_head(self) -> None:
        log = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await wait_until_the_client_leaves(receive)
            log.append("left")

        with anyio.move_on_after(5) as scope:
            async with client_of(app) as client:
                await client.get("/")
        assert scope.cancelled_caught
        assert log == ["left"]


class TestBounds:
    async def test_the_head_has_a_bound(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await wait_until_the_client_leaves(receive)

        async with client_of(app, patience=3) as client:
            with pytest.raises(NoAnswerError, match=r"patience=3 s; .* waits in receive\(\)"):
                await client.get("/")

    async def test_the_end_has_a_bound(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            await anyio.sleep_forever()

        async with client_of(app, patience=3) as client:
            with raised_alone(StillRunningError) as caught:
                async with client.stream("GET", "/"):
                    pass
        assert "GET / is still running patience=3 s after" in str(caught.value)

    async def test_the_head_has_httpxs_read_timeout(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await wait_until_the_client_leaves(receive)

        async with client_of(app, timeout=2) as client:
            with pytest.raises(httpx.ReadTimeout, match="nothing was sent for 2 s") as caught:
                await client.get("/")
        assert caught.value.request.url == "http://test/"

    async def test_each_chunk_has_httpxs_read_timeout(self) -> None:
        app = Endless()

        async with client_of(app, timeout=2) as client, client.stream("GET", "/") as response:
            began = anyio.current_time()
            with pytest.raises(httpx.ReadTimeout):
                await response.aread()
            assert anyio.current_time() - began == pytest.approx(2)
        assert app.log == ["left"]

    async def test_the_time_that_the_test_takes_does_not_count(self) -> None:
        async def slow() -> AsyncGenerator[bytes, None]:
            for _ in range(3):
                await anyio.sleep(1.9)
                yield b"x"

        app = StreamingResponse(slow())
        async with client_of(app, timeout=2) as client, client.stream("GET", "/") as response:
            await anyio.sleep(100)
            assert await response.aread() == b"xxx"


class TestUse:
    async def test_outside_of_the_block_is_refused(self) -> None:
        client = client_of(JSONResponse(1))
        with pytest.raises(UsageError, match="async with AsyncClient"):
            await client.get("/")

    async def test_after_the_block_is_refused(self) -> None:
        transport = StreamingTransport(JSONResponse(1))
        async with transport:
            await transport.handle_async_request(httpx.Request("GET", "http://test/"))
        with pytest.raises(UsageError):
            await transport.handle_async_request(httpx.Request("GET", "http://test/"))
        await transport.__aexit__()

    async def test_a_transport_can_be_entered_again(self) -> None:
        transport = StreamingTransport(JSONResponse(1))
        for _ in range(2):
            async with transport:
                response = await transport.handle_async_request(
                    httpx.Request("GET", "http://test/")
                )
                assert await response.aread() == b"1"

    async def test_the_successor_of_httpx_gets_its_own_classes(self) -> None:
        library = pytest.importorskip("httpx2")
        transport = StreamingTransport(Endless())
        async with (
            library.AsyncClient(transport=transport, timeout=2) as client,
            client.stream("GET", "http://test/") as response,
        ):
            assert isinstance(response, library.Response)
            with pytest.raises(library.ReadTimeout):
                await response.aread()
