"""Which responses are adopted, how their headers change, and what routes say of that."""

import logging
from pathlib import Path
from typing import Any

import pytest
from starlette.middleware.gzip import GZipMiddleware

from sse_middleware import LegacyRoute, ServerSentEvent, SSEMiddleware
from sse_middleware.errors import BodyError
from sse_middleware.legacy.bodies.adapters import Lines
from tests.legacy.apps import (
    EVENTS,
    NDJSON,
    App,
    Message,
    headers_of,
    joined,
    part,
    reading,
    sent,
    start,
    whole,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quiet")]

# ruff: noqa: SIM117 - a request within its client


@pytest.mark.parametrize(
    ("kind", "body", "data"),
    [
        (b"application/x-ndjson", b'{"a":1}\n{"a":2}\n', [b'{"a":1}', b'{"a":2}']),
        (b"application/jsonl", b"1\n2", [b"1", b"2"]),
        (b"application/json-lines", b"1\n", [b"1"]),
        (b"application/json-seq", b"\x1e1\n\x1e2\n", [b"1", b"2"]),
        (b"text/plain; charset=utf-8", b"a\r\nb\rc", [b"a", b"b", b"c"]),
        (b"text/plain; charset=iso-8859-1", b"\xe4", ["ä".encode()]),
        (b"Text/CSV", b"a,b\n1,2\n", [b"a,b", b"1,2"]),
    ],
)
async def test_a_streaming_type_is_converted_where_events_are_wanted(
    kind: bytes, body: bytes, data: list[bytes]
) -> None:
    messages = await sent(SSEMiddleware(whole(body, kind=kind)))
    assert messages[0]["headers"] == [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache, no-transform"),
        (b"x-accel-buffering", b"no"),
        (b"vary", b"Accept"),
    ]
    assert joined(messages) == b"".join(b"data: %b\n\n" % one for one in data)
    assert [message.get("more_body") for message in messages][-1] is False


@pytest.mark.parametrize(
    "accept",
    [None, "*/*", "application/x-ndjson", f"{EVENTS};q=0, */*", f"{EVENTS}, */*", "text/*"],
)
@pytest.mark.parametrize("legacy", [[], [LegacyRoute("/", event="e")]])
async def test_a_client_that_does_not_prefer_events_gets_the_same_body(
    accept: str | None, legacy: list[LegacyRoute]
) -> None:
    app = whole(b"1\n", b"2\n3", headers=[(b"etag", b"x"), (b"content-length", b"5")])
    bare = await sent(app, accept)
    messages = await sent(SSEMiddleware(app, legacy=legacy), accept)
    assert messages[1:] == bare[1:]
    assert messages[0] == {**bare[0], "headers": [*bare[0]["headers"], (b"vary", b"Accept")]}


LENGTH = (b"content-length", b"2")


@pytest.mark.parametrize(
    ("first", "method"),
    [
        (start(status=404), "GET"),
        (start(status=204), "GET"),
        (start(status=206), "GET"),
        (start(status=301, headers=[(b"location", b"/x")]), "GET"),
        (start(status=500), "GET"),
        (start(), "HEAD"),
        (start(b"text/event-stream", status=204), "GET"),
        (start(b"text/event-stream", status=404), "GET"),
        (start(b"text/html"), "GET"),
        (start(b"application/json"), "GET"),
        (start(None), "GET"),
        (start(None, headers=[(b"x-own", b"1"), (b"content-type", b"text/html")]), "GET"),
        (start(b""), "GET"),
        (start(b"application/octet-stream"), "GET"),
        (start(b"text/plain", headers=[LENGTH]), "GET"),
    ],
)
async def test_another_response_passes_untouched(first: Message, method: str) -> None:
    app = App(first, part(b"1\n", more=False))
    messages = await sent(SSEMiddleware(app), method=method)
    assert messages[0] is first
    assert messages[1] is app.script[1]
    assert len(messages) == 2


@pytest.mark.parametrize("status", [404, 304, 206])
@pytest.mark.parametrize("accept", [None, EVENTS])
async def test_only_a_status_of_200_varies(status: int, accept: str | None) -> None:
    first = start(status=status)
    assert (await sent(SSEMiddleware(App(first, part(b"", more=False))), accept))[0] is first


@pytest.mark.parametrize("name", [b"content-type", b"Content-Type", b"CONTENT-TYPE"])
async def test_the_media_type_may_be_any_of_the_headers(name: bytes) -> None:
    first = start(None, headers=[(b"x-own", b"1"), (name, b"Text/Plain; charset=utf-8")])
    app = App(first, part(b"1\n", more=False))
    assert headers_of(await sent(SSEMiddleware(app), None))[b"vary"] == b"Accept"
    assert joined(await sent(SSEMiddleware(app))) == b"data: 1\n\n"


async def test_a_message_before_the_head_passes_untouched() -> None:
    push = {"type": "http.response.push", "path": "/", "headers": []}
    messages = await sent(SSEMiddleware(App(push, start(), part(b"1\n", more=False))))
    assert messages[0] is push
    assert joined(messages) == b"data: 1\n\n"


async def test_a_message_without_headers_passes_untouched() -> None:
    first = {"type": "http.response.start", "status": 200}
    for accept in (None, EVENTS):
        assert (await sent(SSEMiddleware(App(first, part(b"", more=False))), accept))[0] is first


async def test_text_of_a_known_length_is_converted_where_a_route_says_so() -> None:
    app = whole(b"a\nb", kind=b"text/plain", headers=[(b"content-length", b"3")])
    messages = await sent(SSEMiddleware(app, legacy=[LegacyRoute("/")]))
    assert joined(messages) == b"data: a\n\ndata: b\n\n"
    assert b"content-length" not in headers_of(messages)


async def test_the_headers_of_the_old_body_are_dropped() -> None:
    old = [LENGTH, (b"ETag", b'"x"'), (b"accept-ranges", b"bytes")]
    kept = [(b"set-cookie", b"a"), (b"set-cookie", b"b"), (b"content-encoding", b"identity")]
    own = [(b"Cache-Control", b"private")]
    messages = await sent(SSEMiddleware(whole(b"1\n", headers=[*old, *kept, *own])))
    assert messages[0]["headers"] == [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        *kept,
        (b"cache-control", b"private"),
        (b"x-accel-buffering", b"no"),
        (b"vary", b"Accept"),
    ]


@pytest.mark.parametrize("accept", [None, EVENTS])
@pytest.mark.parametrize("kind", [NDJSON, b"text/event-stream"])
async def test_the_messages_of_the_application_are_never_changed(
    accept: str | None, kind: bytes
) -> None:
    headers = [(b"content-type", kind), LENGTH, (b"vary", b"Origin")]
    first = {"type": "http.response.start", "status": 200, "headers": headers}
    await sent(SSEMiddleware(App(first, part(b"", more=False))), accept)
    assert first == {"type": "http.response.start", "status": 200, "headers": headers}
    assert headers == [(b"content-type", kind), LENGTH, (b"vary", b"Origin")]


@pytest.mark.parametrize("accept", [None, EVENTS])
@pytest.mark.parametrize("kind", [b"text/html", NDJSON])
async def test_headers_may_be_an_iterator(accept: str | None, kind: bytes) -> None:
    first = {**start(), "headers": iter([(b"content-type", kind), (b"x-own", b"1")])}
    messages = await sent(SSEMiddleware(App(first, part(b"", more=False))), accept)
    assert headers_of(messages)[b"x-own"] == b"1"
    assert b"content-type" in headers_of(messages)


async def test_trailers_are_not_passed_on_nor_announced() -> None:
    trailers = {"type": "http.response.trailers", "headers": []}
    app = App({**start(), "trailers": True}, part(b"1\n", more=False), trailers)
    messages = await sent(SSEMiddleware(app))
    assert "trailers" not in messages[0]
    assert [message["type"] for message in messages][1:] == ["http.response.body"]


async def test_an_encoded_body_is_left_alone_and_reported_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = whole(b"\x1f\x8b", headers=[(b"content-encoding", b"gzip")])
    served = SSEMiddleware(app)
    for _ in range(3):
        assert (await sent(served))[0] is app.script[0]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    await sent(SSEMiddleware(app), None)
    assert len(caplog.records) == 1


async def test_a_body_that_an_inner_gzip_middleware_compresses_is_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = GZipMiddleware(whole(b'{"a":1}\n' * 100), minimum_size=1)
    async with reading(SSEMiddleware(app)) as client:
        async with client.stream("GET", "/", headers={"accept-encoding": "gzip"}) as stream:
            with pytest.raises(AssertionError, match="has ended"):
                await stream.next()
            assert stream.body == b'{"a":1}\n' * 100
            assert stream.response.headers["content-encoding"] == "gzip"
    assert len(caplog.records) == 1


@pytest.mark.parametrize("name", ["http.response.pathsend", "http.response.zerocopysend"])
async def test_extensions_that_bypass_send_are_hidden_where_events_are_wanted(name: str) -> None:
    app = whole(b"1\n")
    extensions: dict[str, Any] = {name: {}, "http.response.push": {}}
    configured = SSEMiddleware(app, legacy=[LegacyRoute("/")])
    for middleware, accept in ((configured, None), (SSEMiddleware(app), "text/event-stream")):
        await sent(middleware, accept, scope={"extensions": extensions})
        assert app.scope["extensions"] == {"http.response.push": {}}
    await sent(SSEMiddleware(app), None, scope={"extensions": extensions})
    assert app.scope["extensions"] is extensions


def pathsend(file: Path) -> Message:
    """Return the message by which an application lets the server send a file."""
    return {"type": "http.response.pathsend", "path": str(file)}


@pytest.mark.parametrize("accept", [None, "*/*", EVENTS])
async def test_a_file_of_events_is_a_stream_too(accept: str | None, tmp_path: Path) -> None:
    file = tmp_path / "events"
    file.write_bytes(b": c\r\n\r\ndata: 1\r\n\r\n" * 10_000)
    headers = [(b"content-length", b"%d" % file.stat().st_size)]
    app = App(start(b"text/event-stream", headers=headers), pathsend(file))
    messages = await sent(SSEMiddleware(app), accept)
    assert joined(messages) == file.read_bytes()
    assert headers_of(messages)[b"x-accel-buffering"] == b"no"
    assert b"content-length" not in headers_of(messages)
    assert len(messages) > 3


@pytest.mark.parametrize("accept", [None, "image/png"])
async def test_any_other_file_is_left_to_the_server(accept: str | None, tmp_path: Path) -> None:
    file = tmp_path / "picture"
    file.write_bytes(b"x")
    messages = await sent(SSEMiddleware(App(start(b"image/png"), pathsend(file))), accept)
    assert messages[1] == pathsend(file)


async def test_a_stream_can_not_be_sent_from_a_descriptor() -> None:
    name = "http.response.zerocopysend"
    with pytest.raises(BodyError, match=f"can't be sent by {name}"):
        await sent(SSEMiddleware(App(start(NDJSON), {"type": name, "file": 0})))


async def test_an_unknown_charset_is_an_error_of_the_application() -> None:
    messages: list[Message] = []
    with pytest.raises(BodyError, match="charset 'nope'"):
        await sent(SSEMiddleware(whole(b"", kind=b"text/plain; charset=nope")), into=messages)
    assert messages == []


async def test_a_chunk_may_be_any_buffer() -> None:
    for kind, body in ((NDJSON, b"1\n2\n"), (b"text/event-stream", b"data: 1\n\ndata: 2\n\n")):
        for buffer in (memoryview, bytearray):
            app = App(start(kind), part(buffer(body), more=False))  # type: ignore[arg-type]
            assert joined(await sent(SSEMiddleware(app))) == b"data: 1\n\ndata: 2\n\n"


# Routes and adapters


@pytest.mark.parametrize(
    ("route", "kind", "body", "events"),
    [
        (LegacyRoute("/", event="log", id="{line}"), NDJSON, b"1\n",
            b"event: log\ndata: 1\nid: 1\n\n"),
        (LegacyRoute("/", last=ServerSentEvent(event="end", raw_data="")), NDJSON, b"1\n",
            b"data: 1\n\nevent: end\ndata: \n\n"),
        (LegacyRoute("/", body="json"), b"application/json", b"[1, 2]", b"data: 1\n\ndata: 2\n\n"),
        (LegacyRoute("/", body="json"), b"application/json", b'{"a":1}', b'data: {"a":1}\n\n'),
        (LegacyRoute("/", body="chunks"), b"text/html", b"<p>\n", b"data: <p>\ndata: \n\n"),
        (LegacyRoute("/", body="lines"), NDJSON, b"no json\n", b"data: no json\n\n"),
        (LegacyRoute("/", body=Lines), b"x/y", b"a", b"data: a\n\n"),
        (LegacyRoute("/", unfinished="drop"), NDJSON, b"1\n2", b"data: 1\n\n"),
        (LegacyRoute("/", unfinished="deliver"), b"text/event-stream", b"data: 1\n\ndata: 2",
            b"data: 1\n\ndata: 2\n\n"),
        (LegacyRoute("/"), b"text/event-stream", b"data: 1\n\ndata: 2", b"data: 1\n\ndata: 2"),
        (LegacyRoute("/", event="e"), b"text/event-stream", b"data: 1\n\n", b"data: 1\n\n"),
        (LegacyRoute("/other", event="e"), NDJSON, b"1\n", b"data: 1\n\n"),
        (LegacyRoute("/", methods=["POST"], event="e"), NDJSON, b"1\n", b"data: 1\n\n"),
    ],
)  # fmt: skip
async def test_a_route_says_how_a_body_is_converted(
    route: LegacyRoute, kind: bytes, body: bytes, events: bytes
) -> None:
    assert joined(await sent(SSEMiddleware(whole(body, kind=kind), legacy=[route]))) == events


@pytest.mark.parametrize("accept", [None, "*/*", "application/x-ndjson", EVENTS])
async def test_a_route_may_convert_always(accept: str | None) -> None:
    served = SSEMiddleware(whole(b"1\n"), legacy=[LegacyRoute("/", always=True)])
    messages = await sent(served, accept)
    assert joined(messages) == b"data: 1\n\n"
    assert headers_of(messages) == {
        b"content-type": b"text/event-stream; charset=utf-8",
        b"cache-control": b"no-cache, no-transform",
        b"x-accel-buffering": b"no",
    }


async def test_the_first_route_that_matches_is_used() -> None:
    routes = (LegacyRoute(path, event=path) for path in ("/b", "/{x}", "/a"))
    served = SSEMiddleware(whole(b"1\n"), legacy=routes)
    assert joined(await sent(served, path="/a")) == b"event: /{x}\ndata: 1\n\n"
    assert joined(await sent(served, path="/b")) == b"event: /b\ndata: 1\n\n"


async def test_more_media_types_may_be_added() -> None:
    served = SSEMiddleware(
        whole(b"a\nb", kind=b"application/x-foo"),
        adapters={"Application/X-Foo": "chunks", "text/plain": Lines},
    )
    assert joined(await sent(served)) == b"data: a\ndata: b\n\n"
    assert headers_of(await sent(served, None))[b"vary"] == b"Accept"


async def test_events_are_adopted_but_do_not_vary() -> None:
    body = b": c\nid: 1\r\nunknown: x\n\n"
    messages = await sent(SSEMiddleware(whole(body, kind=b"text/event-stream; a=b")))
    assert messages[0]["headers"] == [
        (b"content-type", b"text/event-stream; a=b"),
        (b"cache-control", b"no-cache, no-transform"),
        (b"x-accel-buffering", b"no"),
    ]
    assert joined(messages) == body
    app = whole(body, kind=b"text/event-stream")
    assert joined(await sent(SSEMiddleware(app), None)) == body


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_other_scopes_pass(kind: str) -> None:
    app = App({"type": "x"})
    await sent(SSEMiddleware(app, legacy=[LegacyRoute("/")]), scope={"type": kind})
    assert app.sent == 1


class TestARouteThatConvertsNothing:
    MESSAGE = "LegacyRoute('/') has no effect, because nothing converts responses of the media type"

    @pytest.mark.parametrize("kind", [b"image/png", b"application/json", b"x-what/ever; a=b", b""])
    async def test_is_reported_once(self, caplog: pytest.LogCaptureFixture, kind: bytes) -> None:
        app = SSEMiddleware(whole(b"[1]", kind=kind), legacy=[LegacyRoute("/", always=True)])
        for accept in (None, "*/*", EVENTS):
            messages = await sent(app, accept=accept)
            assert joined(messages) == b"[1]"
        (record,) = caplog.records
        assert record.getMessage().startswith(self.MESSAGE)
        assert repr(kind.partition(b";")[0].decode()) in record.getMessage()
        assert "body=" in record.getMessage()

    async def test_is_reported_where_a_client_prefers_events(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = SSEMiddleware(whole(b"[1]", kind=b"application/json"), legacy=[LegacyRoute("/")])
        await sent(app, accept="*/*")
        assert caplog.records == []
        await sent(app, accept=EVENTS)
        assert [record.getMessage()[: len(self.MESSAGE)] for record in caplog.records] == [
            self.MESSAGE
        ]

    async def test_is_reported_for_each_route(self, caplog: pytest.LogCaptureFixture) -> None:
        routes = [LegacyRoute("/", always=True, methods=["POST"]), LegacyRoute("/{x}", always=True)]
        app = SSEMiddleware(whole(b"[1]", kind=b"application/json"), legacy=[*routes])
        await sent(app, path="/a")
        await sent(app, path="/b")
        assert len(caplog.records) == 1

    @pytest.mark.parametrize(
        "route",
        [LegacyRoute("/", always=True, body="json"), LegacyRoute("/other", always=True)],
    )
    async def test_is_not_one_that_converts_or_does_not_match(
        self, caplog: pytest.LogCaptureFixture, route: LegacyRoute
    ) -> None:
        await sent(SSEMiddleware(whole(b"[1]", kind=b"application/json"), legacy=[route]))
        assert caplog.records == []
