"""Endpoints that are polled, so that their clients don't poll them."""

import logging
from typing import Any

import anyio
import pytest
from starlette.background import BackgroundTask
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from sse_middleware import EventSourceResponse
from sse_middleware.errors import BodyError
from tests.legacy.apps import reading
from tests.legacy.polling.polled import Status, by_user, served
from tests.served import OopsError

# ruff: noqa: SIM117 - a request within its client
pytestmark = pytest.mark.anyio
tidy = pytest.mark.usefixtures("nothing_left_behind")  # looks at all objects, so not everywhere


async def test_an_event_is_sent_when_the_answer_changes() -> None:
    status = Status(headers={"x-own": "1"})
    async with reading(served(status, event="status")) as client:
        async with client.stream("GET", "/status?a=b") as stream:
            assert stream.response.headers["vary"] == "Accept"
            first = await stream.next()
            assert (first.raw_data, first.event) == ("one", "status")
            await anyio.sleep(100)
            assert len(stream.received) == 1
            status.body = "two"
            second = await stream.next()
            assert second.raw_data == "two"
            assert len(first.id or "") == 32
            assert second.id != first.id
            status.body = "one"
            assert (await stream.next()).id == first.id
    gaps = [after - before for before, after in zip(status.times, status.times[1:], strict=False)]
    assert gaps == pytest.approx([2.0] * len(gaps))
    assert len(gaps) in (51, 52, 53)
    assert {request.url.query for request in status.requests} == {"a=b"}
    assert not any("if-none-match" in request.headers for request in status.requests)


async def test_an_etag_decides_what_a_change_is() -> None:
    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        headers = {"etag": tag}
        asked = Request(scope).headers.get("if-none-match")
        log.append(asked)
        unchanged = Response(status_code=304, headers=headers)
        response = unchanged if asked == tag else PlainTextResponse(body, headers=headers)
        await response(scope, receive, send)

    log: list[str | None] = []
    tag, body = '"1"', "one"
    async with reading(served(endpoint)) as client, client.stream("GET", "/status") as stream:
        assert (await stream.next()).id == '"1"'
        await anyio.sleep(5)
        body = "another, but of the same tag"
        await anyio.sleep(5)
        tag, body = 'W/"2"', "two"
        assert (await stream.next()).model_dump(exclude_none=True) == {"raw_data": "two", "id": tag}
        assert len(stream.received) == 2
        await anyio.sleep(2)
    assert log[0] is None
    assert set(log[1:-2]) == {'"1"'}
    assert log[-1] == 'W/"2"'


async def test_an_etag_decides_also_where_the_endpoint_ignores_conditions() -> None:
    status = Status(headers={"etag": '"ä"'})
    async with reading(served(status)) as client, client.stream("GET", "/status") as stream:
        assert (await stream.next()).id == '"ä"'
        status.body = "two"
        await anyio.sleep(10)
        assert len(stream.received) == 1
        status.answer = {"headers": {"etag": '"b"'}}
        assert (await stream.next()).raw_data == "two"


@pytest.mark.parametrize(
    ("media_type", "escaped"),
    [
        ("application/json", True),
        ("application/problem+json; charset=utf-8", True),
        ("text/plain", False),
    ],
)
async def test_json_is_one_line_for_every_client(media_type: str, escaped: bool) -> None:
    text = '"a\x85b\u2028c\u2029d"'
    status = Status(text, media_type=media_type)
    async with reading(served(status)) as client, client.stream("GET", "/status") as stream:
        shown = '"a\\u0085b\\u2028c\\u2029d"' if escaped else text
        assert (await stream.next()).raw_data == shown


async def test_the_last_event_id_is_read_as_utf_8() -> None:
    status = Status(headers={"etag": '"ä"'})
    headers = {"last-event-id": '"ä"'.encode()}
    async with reading(served(status)) as client:
        async with client.stream("GET", "/status", headers=headers) as stream:
            await anyio.sleep(10)
            assert stream.received == []


async def test_the_last_event_id_may_be_in_the_query() -> None:
    status = Status(headers={"etag": '"ä"'})
    async with reading(served(status)) as client:
        async with client.stream("GET", "/status?last_event_id=%22%C3%A4%22") as stream:
            await anyio.sleep(10)
            assert stream.received == []


@pytest.mark.parametrize("headers", [{}, {"etag": '"1"'}])
async def test_a_client_that_comes_back_gets_what_it_has_not_seen(headers: dict[str, str]) -> None:
    status = Status(headers=headers)
    async with reading(served(status)) as client, client.stream("GET", "/status") as stream:
        await stream.next()
        await stream.reconnect()
        assert stream.last_event_id
        await anyio.sleep(10)
        assert len(stream.received) == 1
        status.body, status.answer = "two", {"headers": {}}
        assert (await stream.next()).raw_data == "two"
        status.body = "three"
        await stream.reconnect()
        assert (await stream.next()).raw_data == "three"


async def test_a_poll_has_the_headers_of_the_request() -> None:
    status = Status()
    headers = {
        "authorization": "me",
        "accept-encoding": "gzip",
        "if-none-match": "x",
        "if-modified-since": "x",
        "range": "bytes=0-1",
        "cookie": "a=b",
    }
    async with reading(served(status)) as client:
        async with client.stream("GET", "/status", headers=headers, last_event_id="x") as stream:
            await stream.next()
            await anyio.sleep(3)
    for request in status.requests[:2]:
        assert request.headers["authorization"] == "me"
        assert request.headers["cookie"] == "a=b"
        assert request.headers["accept"] == "*/*"
        dropped = {"if-none-match", "if-modified-since", "range", "last-event-id"}
        assert dropped.isdisjoint(request.headers)
        assert request.headers.get("accept-encoding") is None


async def test_an_endpoint_below_a_gzip_middleware() -> None:
    status = Status("x" * 1000)
    async with reading(served(GZipMiddleware(status))) as client:
        async with client.stream("GET", "/status", headers={"accept-encoding": "gzip"}) as stream:
            assert (await stream.next()).raw_data == "x" * 1000


async def test_a_compressed_answer_is_left_alone() -> None:
    status = Status(headers={"content-encoding": "br"})
    app = served(status)
    async with reading(app) as client:
        response = await client.http.get("/status", headers={"accept": "text/event-stream"})
        assert response.headers["content-encoding"] == "br"
        assert response.headers["content-type"].startswith("text/plain")
    assert len(status.requests) == 1


async def test_keep_alives_are_sent_while_nothing_changes() -> None:
    app = served(Status(), ping_interval=15, ping="still here")
    async with reading(app) as client, client.stream("GET", "/status") as stream:
        await stream.next()
        await anyio.sleep(61)
        assert stream.comments == ["still here"] * 4


@pytest.mark.parametrize("accept", ["*/*", "text/plain", "text/event-stream;q=0.1, text/plain"])
async def test_a_plain_accept_gets_the_endpoint_itself(accept: str) -> None:
    app = served(Status(headers={"etag": '"1"'}))
    async with reading(app) as client:
        response = await client.http.get("/status", headers={"accept": accept})
        assert (response.text, response.headers["etag"]) == ("one", '"1"')
        assert response.headers["vary"] == "Accept"
        assert response.headers["content-type"] == "text/plain; charset=utf-8"
        head = await client.http.head("/status", headers={"accept": "text/event-stream"})
        assert head.headers["content-length"] == "3"
        post = await client.http.post("/status", headers={"accept": "text/event-stream"})
        assert post.text == "one"


async def test_a_route_may_always_be_polled() -> None:
    async with reading(served(Status(), always=True)) as client:
        async with client.stream("GET", "/status", headers={"accept": "text/html"}) as stream:
            assert (await stream.next()).raw_data == "one"
            assert "vary" not in stream.response.headers


async def test_an_answer_may_have_another_charset() -> None:
    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        kind = "text/plain; charset=iso-8859-1"
        await Response("ä".encode("latin-1"), headers={"content-type": kind})(scope, receive, send)

    async with reading(served(endpoint)) as client, client.stream("GET", "/status") as stream:
        assert (await stream.next()).raw_data == "ä"


# Errors


@pytest.mark.parametrize("status_code", [404, 204, 301, 401, 500, 304])
async def test_a_first_answer_that_is_not_200_goes_to_the_client(status_code: int) -> None:
    status = Status()
    body = b"" if status_code in (204, 304) else b"so it is"
    status.failing = Response(body, status_code=status_code, headers={"x-own": "1"})
    async with reading(served(status, key=lambda _: 1)) as client:
        response = await client.http.get("/status", headers={"accept": "text/event-stream"})
        assert (response.status_code, response.content) == (status_code, body)
        assert response.headers["x-own"] == "1"
        status.failing = None
        async with client.stream("GET", "/status") as stream:
            assert (await stream.next()).raw_data == "one"


async def test_an_exception_of_the_first_call_is_raised() -> None:
    status = Status()
    status.failing = OopsError("first")
    async with reading(served(status)) as client:
        with pytest.raises(OopsError, match="first"):
            await client.http.get("/status", headers={"accept": "text/event-stream"})


async def test_later_errors_are_reported_and_retried_with_backoff(
    caplog: pytest.LogCaptureFixture,
) -> None:
    status = Status()
    app = served(status, poll=10)
    async with reading(app, timeout=100) as client, client.stream("GET", "/status") as stream:
        await stream.next()
        begun = status.times[0]
        status.failing = OopsError("later")
        await anyio.sleep(100)
        status.failing = Response(status_code=503)
        await anyio.sleep(200)
        assert len(stream.received) == 1
        reports = [record.message for record in caplog.records]
        assert [record.levelno for record in caplog.records] == [logging.WARNING] * 6
        status.failing = None
        status.body = "two"
        assert (await stream.next()).raw_data == "two"
        recovered = status.times[-1]
        await anyio.sleep(25)
    waits = [round(time - begun) for time in status.times]
    assert waits[:7] == [0, 10, 30, 70, 130, 190, 250]
    assert [round(time - recovered) for time in status.times[-2:]] == [10, 20]
    assert "polling GET /status failed, next call in 20 s" in reports[0]
    assert "later" in reports[0]
    assert "next call in 60 s: NotPushable('status 503')" in reports[-1]


async def test_a_long_interval_is_not_shortened_by_errors() -> None:
    status = Status()
    app = served(status, poll=300)
    async with reading(app) as client, client.stream("GET", "/status") as stream:
        await stream.next()
        status.failing = OopsError("later")
        await anyio.sleep(1000)
    assert [round(time - status.times[0]) for time in status.times] == [0, 300, 600, 900]


async def incomplete(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x", "more_body": True})


async def silent(scope: Any, receive: Any, send: Any) -> None: ...


async def swallowing(scope: Any, receive: Any, send: Any) -> None:
    try:
        await StreamingResponse(iter([b"x"] * 200))(scope, receive, send)
    except Exception:
        logging.getLogger(__name__).info("swallowed")


BAD: list[tuple[Any, str]] = [
    (PlainTextResponse("x" * 101), "the answer takes more than 100 bytes"),
    (EventSourceResponse([1]), "must not be a stream itself"),
    (PlainTextResponse(b"\xff"), "not text in utf-8"),
    (incomplete, "without its last message"),
    (silent, "without its last message"),
    (swallowing, "takes more than 100 bytes"),
]


@pytest.mark.parametrize(("bad", "message"), BAD)
async def test_an_answer_that_can_not_be_sent_is_an_error(
    bad: Any, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    status = Status()
    app = served(status, max_piece=100, invalid_text="fail")
    status.failing = bad
    async with reading(app) as client:
        with pytest.raises((BodyError, ExceptionGroup)) as raised:
            await client.http.get("/status", headers={"accept": "text/event-stream"})
        assert message in repr(raised.value)
        status.failing = None
        async with client.stream("GET", "/status") as stream:
            assert (await stream.next()).raw_data == "one"
            status.failing = bad
            await anyio.sleep(3)
            assert message in caplog.records[-1].message
            status.failing = None
            status.body = "two"
            assert (await stream.next()).raw_data == "two"


async def test_invalid_text_is_replaced_and_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = served(PlainTextResponse(b"a\xff\xe2"))
    async with reading(app) as client, client.stream("GET", "/status") as stream:
        assert (await stream.next()).raw_data == "a\ufffd\ufffd"
    assert "not text in utf-8" in caplog.records[0].message


async def test_the_endpoint_receives_an_empty_body_and_then_a_disconnect() -> None:
    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        got.append(await receive())
        await send({"type": "http.response.push", "path": "/", "headers": []})
        await JSONResponse({"a": [1]})(scope, receive, send)
        got.append(await receive())
        got.append(await receive())

    got: list[Any] = []
    async with reading(served(endpoint)) as client, client.stream("GET", "/status") as stream:
        assert (await stream.next()).json() == {"a": [1]}
    asked = {"type": "http.request", "body": b"", "more_body": False}
    assert got == [asked, {"type": "http.disconnect"}, {"type": "http.disconnect"}]


async def test_an_answer_may_come_in_parts() -> None:
    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        await StreamingResponse(slowly(), media_type="text/plain")(scope, receive, send)

    async def slowly() -> Any:
        for number in range(3):
            yield str(number)
            await anyio.sleep(1)

    async with reading(served(endpoint)) as client, client.stream("GET", "/status") as stream:
        assert (await stream.next()).raw_data == "012"
        await anyio.sleep(20)
        assert len(stream.received) == 1


# Sharing


@tidy
async def test_streams_with_the_same_key_share_a_poll_also_when_one_leaves() -> None:
    status = Status()
    status.takes = 0.5
    app = served(status, key=by_user)
    headers = {"user": "a"}
    async with reading(app) as client:
        async with client.stream("GET", "/status", headers=headers) as second:
            async with client.stream("GET", "/status", headers=headers) as third:
                async with client.stream("GET", "/status", headers=headers) as first:
                    for stream in (first, second, third):
                        assert (await stream.next()).raw_data == "one"
                    await anyio.sleep(10)
                assert len(status.requests) == pytest.approx(1 + 10 / 2.5, abs=1)
                before = len(status.requests)
                status.body = "two"
                for stream in (second, third):
                    assert (await stream.next()).raw_data == "two"
                assert len(status.requests) - before <= 2
            status.body = "three"
            assert (await second.next()).raw_data == "three"
    await anyio.sleep(100)
    assert app._polling._polls == {}


@tidy
@pytest.mark.parametrize("moment", [0.25, 1.0, 2.1])
async def test_the_stream_that_polls_may_leave_at_any_moment(moment: float) -> None:
    # It calls at 0 and at 2.5, for 0.5 seconds each.
    status = Status()
    status.takes = 0.5
    async with reading(served(status, key=by_user)) as client, anyio.create_task_group() as tasks:
        got: list[str] = []

        async def caller() -> None:
            with anyio.move_on_after(0.5 + moment):
                async with client.stream("GET", "/status", headers={"user": "a"}) as stream:
                    await stream.next()
                    await stream.next()

        async def waiter() -> None:
            async with client.stream("GET", "/status", headers={"user": "a"}) as stream:
                got.append((await stream.next()).raw_data or "")
                status.body = "two"
                got.append((await stream.next()).raw_data or "")

        tasks.start_soon(caller)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(waiter)
    assert got == ["one", "two"]


@tidy
async def test_the_first_call_may_be_cancelled_while_others_wait_for_it() -> None:
    status = Status()
    status.takes = 3
    app = served(status, key=by_user)
    got: list[str] = []

    async def ask(seconds: float) -> None:
        scope = {
            "type": "http", "method": "GET", "path": "/status", "root_path": "",
            "query_string": b"", "headers": [(b"accept", b"text/event-stream"), (b"user", b"a")],
        }  # fmt: skip

        async def receive() -> Any:
            await anyio.sleep_forever()

        async def send(message: Any) -> None:
            got.append(message.get("body", b"").decode())

        with anyio.move_on_after(seconds):
            await app(scope, receive, send)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, 1)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(ask, 7)
    assert status.cancelled == 2  # the first call, and the one that ran at the end
    assert next(text for text in got if text).startswith("data: one\n")
    assert app._polling._polls == {}


@tidy
@pytest.mark.parametrize(
    ("key", "users", "calls"),
    [(by_user, ("a", "b"), 2), (by_user, (None, None), 2), (None, ("a", "a"), 2),
        (by_user, ("a", "a"), 1)],
)  # fmt: skip
async def test_streams_with_different_keys_do_not_share(key: Any, users: Any, calls: int) -> None:
    status = Status()
    app = served(status, key=key)
    headers = [{"user": user} if user else {} for user in users]
    async with reading(app) as client:
        async with client.stream("GET", "/status", headers=headers[0]) as one:
            async with client.stream("GET", "/status", headers=headers[1]) as another:
                await one.next()
                await another.next()
                assert len(status.requests) == calls
                await anyio.sleep(10.5)
                assert len(status.requests) == calls * 6


@tidy
async def test_a_disconnect_ends_the_poll() -> None:
    status = Status()
    async with reading(served(status)) as client:
        async with client.stream("GET", "/status") as stream:
            await stream.next()
            status.takes = 100
            await anyio.sleep(10)
            await stream.disconnect()
            assert status.cancelled == 1
            await anyio.sleep(100)
    assert len(status.requests) == 2


async def test_an_answer_counts_although_the_endpoint_fails_after_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> None:
        raise OopsError("later\n")

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        response = PlainTextResponse(next(bodies), background=BackgroundTask(fail))
        await response(scope, receive, send)

    bodies = iter(["one", "two", "three"])
    async with reading(served(endpoint)) as client, client.stream("GET", "/status") as stream:
        assert [event.raw_data for event in await stream.take(2)] == ["one", "two"]
    assert {record.message for record in caplog.records} == {
        "GET /status failed after its answer: OopsError('later\\n')"
    }
