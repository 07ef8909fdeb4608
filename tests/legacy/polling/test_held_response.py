"""The first call of a polled endpoint is a part of the stream, and the stream keeps its headers."""

import logging
from dataclasses import replace
from typing import Any

import anyio
import pytest
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from sse_middleware import CloseReason, EncodingError, LegacyRoute, ServerSentEvent
from sse_middleware.presets import OPENAI
from tests.legacy.apps import reading, sent, start
from tests.legacy.polling.polled import Guarded, Status, asked, served, shared, streams
from tests.served import OopsError, observed

# ruff: noqa: SIM117 - a request within its client
pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]

HANGING = 10_000.0
FIRST = replace(OPENAI, first=ServerSentEvent(comment="hello"))


def watched(app: Any, *, poll: float = 2.0, route: Any = {}, **settings: Any) -> Any:  # noqa: B006
    return observed(app, legacy=[LegacyRoute("/{name:path}", poll=poll, **route)], **settings)


class TestFirstCall:
    async def test_a_client_that_is_refused_causes_no_call(self) -> None:
        status = Status()
        app, _ = watched(status, max_streams=1)
        async with reading(app) as client, client.stream("GET", "/status") as one:
            await one.next()
            before, calls = anyio.current_time(), len(status.requests)
            for _ in range(5):
                assert (await asked(client)).status_code == 503
            assert anyio.current_time() == before
            assert len(status.requests) == calls

    async def test_it_counts_as_a_stream_while_it_hangs(self) -> None:
        status = Status()
        status.takes = HANGING
        app, _ = watched(status, max_streams=1)
        async with reading(app) as client, client.stream("GET", "/status"):
            assert app.stats().open == 1
            assert (await asked(client)).status_code == 503
            assert len(status.requests) == 1

    async def test_the_status_line_waits_no_longer_than_commit_after(self) -> None:
        status = Status()
        status.takes = HANGING
        app, _ = watched(status, commit_after=3, ping_interval=10)
        async with reading(app) as client:
            began = anyio.current_time()
            async with client.stream("GET", "/status") as stream:
                assert anyio.current_time() - began == pytest.approx(3)
                assert stream.response.status_code == 200
                await anyio.sleep(31)
                assert stream.comments == ["ping"] * 3

    async def test_the_status_line_comes_with_the_first_answer(self) -> None:
        status = Status()
        status.takes = 2
        app, _ = watched(status, commit_after=1000)
        async with reading(app) as client:
            began = anyio.current_time()
            async with client.stream("GET", "/status") as stream:
                assert anyio.current_time() - began == pytest.approx(2)
                assert (await stream.next()).raw_data == "one"

    @pytest.mark.parametrize("leave_after", [0.1, 5.0])
    async def test_a_client_that_leaves_cancels_it(self, leave_after: float) -> None:
        status = Status()
        status.takes = HANGING
        app, closed_streams = watched(status, on_disconnect="finish")

        async def leave() -> Any:
            await anyio.sleep(leave_after)
            return {"type": "http.disconnect"}

        await app(scope(), leave, _swallow)
        assert status.cancelled == 1
        assert closed_streams.reasons == [CloseReason.CLIENT_DISCONNECTED]
        assert app.stats().open == 0

    @pytest.mark.parametrize("after", [0.1, 5.0])
    async def test_a_drain_ends_it(self, after: float) -> None:
        status = Status()
        status.takes = HANGING
        app, closed_streams = watched(status, drain_grace=1)
        messages: list[Any] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: sent(app, path="/status", into=messages))
            await anyio.sleep(after)
            with anyio.fail_after(1.5):
                await app.drain()
        assert messages[0]["status"] == 200
        assert b"".join(one.get("body", b"") for one in messages).startswith(b"retry: ")
        assert messages[-1]["more_body"] is False
        assert (status.cancelled, closed_streams.reasons) == (1, [CloseReason.DRAINED])

    async def test_max_duration_ends_it(self) -> None:
        status = Status()
        status.takes = HANGING
        app, closed_streams = watched(status, max_duration=60)
        async with reading(app, timeout=100) as client, client.stream("GET", "/status") as stream:
            assert [event async for event in stream] == []
        assert (status.cancelled, closed_streams.reasons) == (1, [CloseReason.MAX_DURATION])

    async def test_a_server_that_cancels_the_request_cancels_it(self) -> None:
        status = Status()
        status.takes = HANGING
        app, closed_streams = watched(status)
        with anyio.move_on_after(5):
            await sent(app, path="/status")
        assert (status.cancelled, closed_streams.reasons) == (1, [CloseReason.CANCELLED])


class TestAnswersThatAreNoDocument:
    @pytest.mark.parametrize("preset", [None, FIRST], ids=["", "preset"])
    @pytest.mark.parametrize("code", [401, 403, 404, 500, 503, 204, 302, 304])
    async def test_in_time_the_client_gets_it_as_it_is(self, code: int, preset: Any) -> None:
        status = Status()
        status.takes = 0.4
        body = b"" if code in (204, 304) else b"no" * 50_000
        headers = {"x-own": "1", "etag": '"1"', "set-cookie": "a=b"}
        status.failing = Response(body, status_code=code, headers=headers)
        options = {} if preset is None else {"preset": preset}
        app, closed_streams = watched(status, route={"max_piece": 10}, **options)
        async with reading(app) as client:
            answer = await asked(client)
            assert (answer.status_code, answer.content) == (code, body)
            assert {name: answer.headers[name] for name in headers} == headers
            assert "vary" not in answer.headers
        assert len(status.requests) == 1
        assert [(one.reason, one.error) for one in closed_streams.records] == [
            (CloseReason.FINISHED, None)
        ]
        assert app.stats().open == 0

    @pytest.mark.parametrize("code", [401, 403, 404, 302])
    async def test_later_a_refusal_ends_the_stream(self, code: int) -> None:
        status = Status()
        status.takes = 3
        status.failing = Response("no", status_code=code)
        app, closed_streams = watched(status)
        async with reading(app) as client, client.stream("GET", "/status") as stream:
            assert stream.response.status_code == 200
            assert [event async for event in stream] == []
            assert b"no" not in stream.body
        assert [(one.reason, one.error) for one in closed_streams.records] == [
            (CloseReason.FINISHED, None)
        ]

    @pytest.mark.parametrize(
        "failing", [OopsError("down"), Response(status_code=503)], ids=["raises", "503"]
    )
    async def test_later_a_failure_is_tried_again(
        self, failing: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        status = Status()
        status.takes = 3
        status.failing = failing
        app, _ = watched(status)
        async with reading(app, timeout=100) as client, client.stream("GET", "/status") as stream:
            await anyio.sleep(5)
            assert "next call in 4 s" in caplog.records[0].message
            status.failing = None
            assert (await stream.next()).raw_data == "one"
        assert [record.levelno for record in caplog.records] == [logging.WARNING]

    @pytest.mark.parametrize("preset", [None, FIRST], ids=["", "preset"])
    async def test_in_time_an_exception_is_raised(self, preset: Any) -> None:
        status = Status()
        status.failing = OopsError("first")
        options = {} if preset is None else {"preset": preset}
        app, closed_streams = watched(status, **options)
        messages: list[Any] = []
        with pytest.raises(OopsError, match="first"):
            await sent(app, path="/status", into=messages)
        assert messages == []  # so the server can answer 500
        assert closed_streams.reasons == [CloseReason.ERROR]

    async def test_a_preset_may_send_a_first_frame_before_the_answer_but_not_before_it_is_known(
        self,
    ) -> None:
        status = Status(headers={"x-own": "1"})
        status.takes = 0.3
        app, _ = watched(status, preset=FIRST)
        async with reading(app) as client, client.stream("GET", "/status") as stream:
            assert stream.response.headers["x-own"] == "1"
            assert (await stream.next()).raw_data == "one"
            assert stream.comments == ["hello"]

    async def test_an_answer_that_is_too_large_for_an_event_is_an_error(self) -> None:
        app, _ = watched(Status("x" * 2000), max_event_size=1000)
        messages: list[Any] = []
        with pytest.raises(EncodingError):
            await sent(app, path="/status", into=messages)
        assert messages == []

    async def test_so_it_is_later(self) -> None:
        status = Status()
        app, closed_streams = watched(status, max_event_size=1000)
        async with reading(app) as client, client.stream("GET", "/status") as stream:
            await stream.next()
            status.body = "x" * 2000
            with pytest.raises(EncodingError):
                await stream.next()
        assert closed_streams.reasons == [CloseReason.ERROR]


class TestClientsThatPreferTheDocument:
    accept = "text/event-stream;q=0.5, text/plain"

    async def test_they_get_it_from_the_endpoint_itself(self) -> None:
        status = Status("x" * 1000, headers={"etag": '"1"', "set-cookie": "a=b"})
        app, closed_streams = watched(GZipMiddleware(status), route={"key": shared})
        async with reading(app) as client:
            answer = await asked(client, accept=self.accept, **{"accept-encoding": "gzip"})
            assert (answer.text, answer.headers["content-encoding"]) == ("x" * 1000, "gzip")
            assert answer.headers["vary"] == "Accept-Encoding, Accept"
            assert answer.headers["set-cookie"] == "a=b"
            assert answer.headers.get_list("content-type") == ["text/plain; charset=utf-8"]
            assert status.requests[-1].headers["accept"] == self.accept
            async with client.stream("GET", "/status", headers={"accept": self.accept}) as stream:
                assert stream.response.headers["content-type"].startswith("text/plain")
        assert set(closed_streams.reasons) == {CloseReason.FINISHED}
        assert app._polling._polls == {}

    async def test_conditions_and_ranges_are_theirs(self) -> None:
        async def endpoint(scope: Any, receive: Any, send: Any) -> None:
            known = Request(scope).headers.get("if-none-match") == '"1"'
            response = Response(status_code=304) if known else PlainTextResponse("one")
            await response(scope, receive, send)

        app, _ = watched(endpoint)
        async with reading(app) as client:
            answer = await asked(client, accept=self.accept, **{"if-none-match": '"1"'})
            assert answer.status_code == 304

    async def test_their_request_is_a_whole_one(self) -> None:
        async def endpoint(scope: Any, receive: Any, send: Any) -> None:
            got.append(await receive())
            await JSONResponse({})(scope, receive, send)
            got.append(await receive())

        got: list[Any] = []
        app, _ = watched(endpoint)
        async with reading(app) as client:
            answer = await asked(client, accept="text/event-stream;q=0.1, application/json")
            assert answer.json() == {}
        whole = {"type": "http.request", "body": b"", "more_body": False}
        assert got == [whole, {"type": "http.disconnect"}] * 2

    async def test_a_late_answer_finds_a_stream(self) -> None:
        status = Status()
        status.takes = 5
        app, _ = watched(status)
        async with reading(app, timeout=10) as client:
            async with client.stream("GET", "/status", headers={"accept": self.accept}) as stream:
                assert (await stream.next()).raw_data == "one"


HEADERS = [
    # the answer's, what the stream has
    ({"x-own": "1", "x-request-id": "2"}, {"x-own": "1", "x-request-id": "2"}),
    ({"vary": "Cookie"}, {"vary": "Cookie, Accept"}),
    ({"vary": "accept, Origin"}, {"vary": "Accept, Origin"}),
    ({"vary": "*"}, {"vary": "*"}),
    ({"vary": ""}, {"vary": "Accept"}),
    ({"cache-control": "private, max-age=60"}, {"cache-control": "private, no-cache"}),
    ({"cache-control": "No-Store"}, {"cache-control": "No-Store, no-cache"}),
    ({"cache-control": "public, max-age=60, s-maxage=9"}, {"cache-control": "no-cache"}),
    (
        {"cache-control": 'private="set-cookie, x-a", no-cache'},
        {"cache-control": 'private="set-cookie, x-a", no-cache'},
    ),
    ({"cache-control": 'private="broken, no-store'}, {}),
    ({"access-control-allow-origin": "https://a.test"}, None),
    ({"access-control-allow-credentials": "true", "access-control-expose-headers": "x-own"}, None),
    ({"content-security-policy": "default-src 'none'", "x-content-type-options": "nosniff"}, None),
    ({"content-language": "de", "link": "</a>; rel=next", "server-timing": "db;dur=5"}, None),
]
DROPPED = {
    "content-length": "3", "etag": '"1"', "last-modified": "Mon, 01 Jan 2024 00:00:00 GMT",
    "accept-ranges": "bytes", "transfer-encoding": "chunked", "connection": "close",
    "keep-alive": "timeout=5", "content-md5": "x", "content-disposition": "attachment", "age": "5",
    "expires": "Mon, 01 Jan 2024 00:00:00 GMT", "pragma": "cache", "x-accel-buffering": "yes",
    "x-accel-redirect": "/secret", "x-sendfile": "/secret", "upgrade": "h2c", "trailer": "x",
    "content-encoding": "identity", "content-location": "/other", "content-digest": "sha-256=:x:",
    "cdn-cache-control": "max-age=60", "cloudflare-cdn-cache-control": "max-age=60",
    "surrogate-control": "max-age=60",
}  # fmt: skip


class TestHeaders:
    async def test_a_stream_has_its_own_defaults(self) -> None:
        async with reading(served(Status())) as client:
            async with client.stream("GET", "/status") as stream:
                defaults = dict(stream.response.headers)
        assert defaults["vary"] == "Accept"
        assert defaults["content-type"] == "text/event-stream; charset=utf-8"
        assert defaults["x-accel-buffering"] == "no"
        assert "no-cache" in defaults["cache-control"]

    @pytest.mark.parametrize(("of_answer", "of_stream"), HEADERS)
    async def test_it_keeps_those_of_the_first_answer(
        self, of_answer: dict[str, str], of_stream: dict[str, str] | None
    ) -> None:
        async with reading(served(Status(headers=of_answer))) as client:
            async with client.stream("GET", "/status") as stream:
                headers = stream.response.headers
                for name, value in (of_answer if of_stream is None else of_stream).items():
                    # A stream may have more directives of its own.
                    shown = headers[name].removesuffix(", no-transform")
                    assert shown == value.removesuffix(", no-transform")
                assert headers["content-type"] == "text/event-stream; charset=utf-8"
                assert len(headers.get_list("vary")) == len(headers.get_list("cache-control")) == 1

    async def test_it_drops_those_of_the_body_and_the_connection(self) -> None:
        async def endpoint(scope: Any, receive: Any, send: Any) -> None:
            headers = [(name.encode(), value.encode()) for name, value in DROPPED.items()]
            await send(start(b"text/plain", headers=headers))
            await send({"type": "http.response.body", "body": b"one", "more_body": False})

        async with reading(served(endpoint)) as client:
            async with client.stream("GET", "/status") as stream:
                assert (await stream.next()).raw_data == "one"
                assert not set(stream.response.headers) & (set(DROPPED) - {"x-accel-buffering"})
                assert stream.response.headers["x-accel-buffering"] == "no"

    async def test_there_may_be_several_of_a_name_in_any_case(self) -> None:
        lines = [(b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"VARY", b"X-A"),
            (b"Vary", b"X-B, x-a"), (b"X-Own", b"1"), (b"x-own", b"2")]  # fmt: skip

        async def endpoint(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": iter(lines)})
            await send({"type": "http.response.body", "body": b"one"})

        async with reading(served(endpoint)) as client:
            async with client.stream("GET", "/status") as stream:
                headers = stream.response.headers
                assert headers.get_list("set-cookie") == ["a=1", "b=2"]
                assert headers.get_list("x-own") == ["1", "2"]
                assert headers["vary"].lower() == "x-a, x-b, accept"

    async def test_a_late_answer_has_none(self) -> None:
        status = Status(headers={"x-own": "1"})
        status.takes = 3
        async with reading(served(status)) as client:
            async with client.stream("GET", "/status") as stream:
                assert (await stream.next()).raw_data == "one"
                assert "x-own" not in stream.response.headers

    async def test_a_client_that_has_seen_the_answer_gets_its_headers(self) -> None:
        status = Status(headers={"etag": '"1"', "x-own": "1"})
        async with reading(served(status)) as client:
            async with client.stream("GET", "/status", last_event_id='"1"') as stream:
                await anyio.sleep(5)
                assert stream.received == []
                assert stream.response.headers["x-own"] == "1"

    @pytest.mark.parametrize("coding", ["gzip", "identity"])
    async def test_they_go_with_compression(self, coding: str) -> None:
        status = Status(headers={"vary": "Cookie", "x-own": "1"})
        app = served(status, compression=True)
        async with reading(app, headers={"accept-encoding": coding}) as client:
            async with client.stream("GET", "/status") as stream:
                assert (await stream.next()).raw_data == "one"
                assert stream.response.headers["vary"] == "Cookie, Accept, Accept-Encoding"
                assert stream.response.headers["x-own"] == "1"

    async def test_a_stream_of_another_origin_is_allowed(self) -> None:
        cors = CORSMiddleware(Status(), allow_origins=["https://a.test"], allow_credentials=True)
        async with reading(served(cors, key=shared)) as client:
            for origin in ("https://a.test", "https://b.test", "https://a.test"):
                async with client.stream("GET", "/a", headers={"origin": origin}) as stream:
                    await stream.next()
                    allowed = stream.response.headers.get("access-control-allow-origin")
                    assert allowed == (origin if origin == "https://a.test" else None)

    async def test_a_cookie_is_for_the_client_that_it_was_set_for(self) -> None:
        guarded = Guarded()
        guarded.of = {
            user: PlainTextResponse("one", headers={"set-cookie": f"session={user}"})
            for user in "abc"
        }
        async with reading(served(guarded, key=shared)) as client:
            async with streams(client, "a", "b", "c") as all_of_them:
                found = [one.response.headers.get("set-cookie") for one in all_of_them]
                assert found == ["session=a", None, None]


async def test_a_stream_ends_when_its_client_leaves_whatever_on_disconnect_says() -> None:
    for where in ("application", "route"):
        status = Status()
        finish: Any = {"on_disconnect": "finish"}
        of_route, of_all = (finish, {}) if where == "route" else ({}, finish)
        app, closed_streams = watched(status, route=of_route, **of_all)
        async with reading(app) as client, client.stream("GET", "/status") as stream:
            await stream.next()
        calls = len(status.requests)
        await anyio.sleep(1000)
        assert len(status.requests) == calls
        assert app.stats().open == 0
        assert closed_streams.reasons == [CloseReason.CLIENT_DISCONNECTED]


async def test_so_does_that_of_a_client_that_does_not_read() -> None:
    async def never(message: Any) -> None:
        if message["type"] == "http.response.body":
            await anyio.sleep_forever()

    app, closed_streams = watched(Status(), on_disconnect="finish", send_timeout=5)
    with anyio.fail_after(100):
        await app(scope(), anyio.sleep_forever, never)
    assert closed_streams.reasons == [CloseReason.SEND_TIMEOUT]


async def test_a_request_may_have_no_headers() -> None:
    bare = {key: value for key, value in scope().items() if key not in ("headers", "query_string")}
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    receive: Any = anyio.sleep_forever
    with anyio.move_on_after(5):
        await served(Status(), always=True, key=shared)(bare, receive, send)
    assert messages[1]["body"].startswith(b"data: one\n")


@pytest.mark.parametrize("path", ["/a\rWARNING forged", "/\x1b[31mred", "/\u2028\x85"])
async def test_a_report_is_one_line_of_plain_text(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    status = Status()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: sent(served(status), path=path))
        await anyio.sleep(1)
        status.failing = OopsError("a\nb")
        await anyio.sleep(2)
        tasks.cancel_scope.cancel()
    assert caplog.records[0].message.isprintable()


def scope() -> dict[str, Any]:
    return {
        "type": "http", "method": "GET", "path": "/status", "root_path": "",
        "query_string": b"", "headers": [(b"accept", b"text/event-stream")],
    }  # fmt: skip


async def _swallow(message: Any) -> None:
    await anyio.lowlevel.checkpoint()
