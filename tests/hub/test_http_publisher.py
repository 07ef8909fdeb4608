"""`hub.publisher`: what a POST publishes, and what it is refused for."""

import hmac
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Mount
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect

from sse_middleware import EventSourceResponse, Hub, SSEMiddleware
from sse_middleware.errors import (
    ConfigurationError,
    EncodingError,
    PublishUnknownError,
    StoreError,
)
from sse_middleware.hub.abc import Appended, Store
from sse_middleware.hub.http_publisher import MAX_SIZE, HTTPPublisher
from sse_middleware.hub.memory import MemoryStore
from sse_middleware.testing import EventClient
from tests.hub.subscribers import subscribed
from tests.served import client_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]

JSON = {"content-type": "application/json"}
TEXT = {"content-type": "text/plain"}


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with Hub() as opened:
        yield opened


def admit(request: Request) -> bool:
    return True


def mounted(hub: Hub, authorize: Any = admit, **options: Any) -> Starlette:
    return Starlette(routes=[Mount("/publish", hub.publisher(authorize=authorize, **options))])


async def post(
    hub: Hub,
    path: str = "/publish/news",
    authorize: Any = admit,
    content: Any = b"1",
    **request: Any,
) -> httpx.Response:
    """Send one request to a publisher in an application."""
    request = {"headers": JSON, **request}
    max_size = request.pop("max_size", MAX_SIZE)
    async with client_of(mounted(hub, authorize, max_size=max_size)) as client:
        return await client.post(path, content=content, **request)


async def published(hub: Hub, topic: str = "news") -> list[tuple[str | None, str]]:
    """Return the names and the data of what a topic keeps."""
    return [(one.event, one.data) for one in (await hub.history(topic)).events]


class TestPublished:
    async def test_a_subscriber_of_the_application_gets_it(self) -> None:
        hub = Hub()

        async def events(scope: Any, receive: Any, send: Any) -> None:
            await EventSourceResponse(hub.subscribe("news"))(scope, receive, send)

        publisher = hub.publisher(authorize=admit)
        app = Starlette(routes=[Mount("/publish", publisher), Mount("/events", events)])
        app.add_middleware(SSEMiddleware, hub=hub)
        async with EventClient(app) as client, client.stream("GET", "/events/") as stream:
            await stream.next_id()
            answer = await client.post("/publish/news?event=note", json={"text": "Grüße"})
            event = await anext(stream)
        assert (event.event, event.json()) == ("note", {"text": "Grüße"})
        assert (answer.status_code, answer.json()) == (200, {"id": event.id})

    @pytest.mark.parametrize(
        ("sent", "data"),
        [
            ('{"b": 1.0,  "a": 10e400, "a": 1}', '{"b": 1.0,  "a": 10e400, "a": 1}'),
            ('{\r\n  "a":\n1\r}\n', '{    "a": 1 } '),
            ('"a\\nb \\ud800"', '"a\\nb \\ud800"'),
            ('"\u0085\u2028\u2029 ü"', '"\\u0085\\u2028\\u2029 ü"'),
            ("1" * 5000, "1" * 5000),
            ("null", "null"),
        ],
    )
    async def test_json_is_sent_as_it_is_given_on_one_line(
        self, hub: Hub, sent: str, data: str
    ) -> None:
        answer = await post(hub, content=sent.encode())
        assert answer.status_code == 200
        assert await published(hub) == [(None, data)]

    @pytest.mark.parametrize("text", ["[DONE]", "{not JSON", "two\nlines", "ü\u2028", ""])
    @pytest.mark.parametrize(
        "media_type", ["text/plain", "Text/Plain; Charset=UTF-8", 'text/plain;charset="utf-8"']
    )
    async def test_text_is_sent_unchanged(self, hub: Hub, text: str, media_type: str) -> None:
        await post(hub, content=text.encode(), headers={"content-type": media_type})
        assert await published(hub) == [(None, text)]

    @pytest.mark.parametrize(
        ("path", "topic"),
        [
            ("room:1", "room:1"),
            ("a/b//c/", "a/b//c/"),
            ("/a", "/a"),
            ("publish/a", "publish/a"),
            ("r%C3%BCm%2F%3F%20%25", "rüm/? %"),
        ],
    )
    async def test_the_rest_of_the_path_is_the_topic(self, hub: Hub, path: str, topic: str) -> None:
        seen = list[str]()

        def check(request: Request) -> bool:
            seen.append(request.path_params["topic"])
            return True

        assert (await post(hub, f"/publish/{path}", check)).status_code == 200
        assert await published(hub, topic) == [(None, "1")]
        assert seen == [topic]

    @pytest.mark.parametrize("path", ["/api/publish/publish/a", "/publish/publish/a"])
    async def test_a_proxy_may_cut_off_a_prefix(self, hub: Hub, path: str) -> None:
        app = mounted(hub)

        async def behind_proxy(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "root_path": "/api"}, receive, send)

        async with client_of(behind_proxy) as client:
            assert (await client.post(path, json=1)).status_code == 200
        assert await published(hub, "publish/a") == [(None, "1")]

    async def test_without_a_mount(self, hub: Hub) -> None:
        async with client_of(hub.publisher(authorize=admit)) as client:
            assert (await client.post("/a/b", json=1)).status_code == 200
        assert await published(hub, "a/b") == [(None, "1")]

    async def test_once(self, hub: Hub) -> None:
        path = "/publish/news?once=order-42"
        first, second = await post(hub, path), await post(hub, path, content=b"2")
        assert first.json() == second.json()
        assert await published(hub) == [(None, "1")]

    async def test_the_name_is_decoded(self, hub: Hub) -> None:
        await post(hub, "/publish/news?event=gr%C3%BC%C3%9Fe+an+dich&token=x")
        assert await published(hub) == [("grüße an dich", "1")]


class TestAuthorize:
    @pytest.mark.parametrize("authorize", [None, True, "admin"])
    def test_is_needed(self, authorize: Any) -> None:
        with pytest.raises(ConfigurationError, match="everybody who can reach the path"):
            Hub().publisher(authorize=authorize)

    def test_is_needed_if_it_is_left_out(self) -> None:
        with pytest.raises(ConfigurationError, match="needs authorize="):
            Hub().publisher()

    async def test_false_refuses(self, hub: Hub) -> None:
        async def refuse(request: Request) -> bool:
            return False

        for authorize in (refuse, lambda _: False, lambda request: [refuse(request)][0]):
            answer = await post(hub, authorize=authorize)
            assert (answer.status_code, answer.text) == (403, "this request may not publish here")
        assert await published(hub) == []

    async def test_true_admits(self, hub: Hub) -> None:
        async def check(request: Request) -> bool:
            assert request.url.path == "/publish/news"
            assert request.app is not None
            return request.headers["authorization"] == "Bearer a"

        headers = {**JSON, "authorization": "Bearer a"}
        assert (await post(hub, authorize=check, headers=headers)).status_code == 200

    @pytest.mark.parametrize("returned", [None, 1, "ann", 0])
    async def test_anything_else_is_a_mistake(self, hub: Hub, returned: Any) -> None:
        with pytest.raises(ConfigurationError, match="True or False"):
            await post(hub, authorize=lambda _: returned)
        assert await published(hub) == []

    async def test_may_raise_the_answer(self, hub: Hub) -> None:
        def challenge(request: Request) -> bool:
            raise HTTPException(401, "who are you?", {"www-authenticate": "Bearer"})

        answer = await post(hub, authorize=challenge)
        assert (answer.status_code, answer.text) == (401, "who are you?")
        assert answer.headers["www-authenticate"] == "Bearer"

    async def test_may_raise_an_answer_of_fastapi(self, hub: Hub) -> None:
        fastapi = pytest.importorskip("fastapi")

        def refuse(request: Request) -> bool:
            raise fastapi.HTTPException(402, {"price": 1})

        answer = await post(hub, authorize=refuse)
        assert (answer.status_code, answer.json()) == (402, {"detail": {"price": 1}})

    async def test_its_errors_are_its_own(self, hub: Hub) -> None:
        with pytest.raises(ZeroDivisionError):
            await post(hub, authorize=lambda _: 1 / 0)

    async def test_may_check_a_signed_body(self, hub: Hub) -> None:
        async def check(request: Request) -> bool:
            signed = hmac.new(b"secret", await request.body(), sha256).hexdigest()
            return hmac.compare_digest(request.headers["signature"], signed)

        signature = hmac.new(b"secret", b"1", sha256).hexdigest()
        headers = {**JSON, "signature": signature}
        assert (await post(hub, authorize=check, headers=headers)).status_code == 200
        refused = await post(hub, authorize=check, headers=headers, content=b"2")
        assert refused.status_code == 403
        large = await post(hub, authorize=check, headers=headers, content=b"1" * 10, max_size=9)
        assert large.status_code == 413
        assert await published(hub) == [(None, "1")]


class Refused:
    """What a publisher sends to a request whose body comes in parts, and what it reads of it."""

    def __init__(self, *parts: Message, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self.waiting = list(parts)
        self.sent = list[Message]()
        self._headers = [(b"content-type", b"text/plain"), *headers]

    async def receive(self) -> Message:
        return self.waiting.pop(0)

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def by(self, publisher: HTTPPublisher) -> int:
        """Send the request. Returns the status of the answer."""
        scope = {"type": "http", "method": "POST", "path": "/news", "headers": self._headers}
        await publisher(scope, self.receive, self.send)
        status: int = self.sent[0]["status"]
        return status


def part(size: int, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": b"a" * size, "more_body": more}


LEFT: Message = {"type": "http.disconnect"}


class TestBody:
    async def test_the_bound_is_64_kib(self, hub: Hub) -> None:
        assert (await post(hub, content=b"a" * 65536, headers=TEXT)).status_code == 200
        answer = await post(hub, content=b"a" * 65537, headers=TEXT)
        assert (answer.status_code, answer.text) == (413, "the body is larger than 65536 bytes")

    async def test_a_declared_length_is_enough(self, hub: Hub) -> None:
        request = Refused(part(1), headers=[(b"content-length", b"11")])
        assert await request.by(hub.publisher(authorize=admit, max_size=10)) == 413
        assert len(request.waiting) == 1

    @pytest.mark.parametrize("length", [b"10", b"x", "²".encode("latin-1"), b"1" * 5000])
    async def test_what_comes_is_counted_in_any_case(self, hub: Hub, length: bytes) -> None:
        headers = [(b"content-length", length)]
        request = Refused(part(6), part(5), part(1), part(1, more=False), headers=headers)
        assert await request.by(hub.publisher(authorize=admit, max_size=10)) == 413
        assert len(request.waiting) == 2
        assert await published(hub) == []

    async def test_it_comes_in_parts(self, hub: Hub) -> None:
        request = Refused(part(6), {"type": "http.request", "more_body": True}, part(4, more=False))
        assert await request.by(hub.publisher(authorize=admit, max_size=10)) == 200
        assert await published(hub) == [(None, "a" * 10)]

    async def test_nothing_is_read_before_the_application_is_asked(self, hub: Hub) -> None:
        request = Refused(part(1))

        async def refuse(_request: Request) -> bool:
            assert len(request.waiting) == 1
            return False

        assert await request.by(hub.publisher(authorize=refuse)) == 403
        assert len(request.waiting) == 1

    async def test_a_client_that_leaves_publishes_nothing(self, hub: Hub) -> None:
        assert await Refused(part(6), LEFT).by(hub.publisher(authorize=admit)) == 400
        assert await published(hub) == []

    @pytest.mark.parametrize("max_size", [0, -1, 1.5, None])
    def test_a_bound_that_cannot_work(self, max_size: Any) -> None:
        with pytest.raises(ConfigurationError, match="max_size must be a number of bytes over 0"):
            Hub().publisher(authorize=admit, max_size=max_size)


class TestRefused:
    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
    async def test_other_methods(self, hub: Hub, method: str) -> None:
        async with client_of(mounted(hub)) as client:
            answer = await client.request(method, "/publish/news")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")

    @pytest.mark.parametrize("root", ["", "/publish"])
    async def test_no_topic(self, hub: Hub, root: str) -> None:
        assert (await post(hub, "/publish/")).status_code == 404
        async with client_of(hub.publisher(authorize=admit), root_path=root) as client:
            assert (await client.post("/", json=1)).status_code == 404

    async def test_a_path_that_is_no_path(self, hub: Hub) -> None:
        publisher = hub.publisher(authorize=admit)

        async def asterisk(scope: Any, receive: Any, send: Any) -> None:
            await publisher({**scope, "path": "*"}, receive, send)

        async with client_of(asterisk) as client:
            assert (await client.post("/", json=1)).status_code == 404

    @pytest.mark.parametrize(
        "media_type",
        [
            "",
            "application/x-www-form-urlencoded",
            "application/json-seq",
            "text/html",
            "text/plain; charset=latin-1",
            "application/json; charset=utf-16",
        ],
    )
    async def test_other_media_types(self, hub: Hub, media_type: str) -> None:
        answer = await post(hub, headers={"content-type": media_type})
        assert answer.status_code == 415
        expected = "the Content-Type must be application/json or text/plain in UTF-8, got "
        assert answer.text == f"{expected}{media_type!r}"

    @pytest.mark.parametrize(
        ("sent", "text"),
        [
            (b"", "the body must be JSON: Expecting value: line 1 column 1"),
            (b"{'a': 1}", "the body must be JSON: Expecting property name"),
            (b"[NaN]", "the body must be JSON: NaN is no JSON"),
            (b"-Infinity", "the body must be JSON: -Infinity is no JSON"),
            (b'"a\nb"', "the body must be JSON: Invalid control character"),
            (b"1 2", "the body must be JSON: Extra data"),
            (b"\xef\xbb\xbf1", "the body must be JSON: "),
            (b'"\xff"', "the body must be UTF-8: "),
            (b'"\xed\xa0\x80"', "the body must be UTF-8: "),
            (b"[" * 60_000, "the body must be JSON: "),
        ],
    )
    async def test_invalid_json(self, hub: Hub, sent: bytes, text: str) -> None:
        answer = await post(hub, content=sent)
        assert (answer.status_code, answer.text[: len(text)]) == (400, text)
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert await published(hub) == []

    async def test_text_that_is_not_utf_8(self, hub: Hub) -> None:
        answer = await post(hub, content="ü".encode("latin-1"), headers=TEXT)
        assert answer.status_code == 400
        assert "the body must be UTF-8" in answer.text

    @pytest.mark.parametrize("path", ["a%1Bb", "%00disconnect", "a" * 256])
    async def test_a_name_that_no_topic_has(self, hub: Hub, path: str) -> None:
        answer = await post(hub, f"/publish/{path}", lambda _: pytest.fail("it was asked"))
        assert answer.status_code == 400
        assert answer.text.startswith("a topic must be a str of 1 to 255 characters")
        assert "\n" not in answer.text
        assert "\0" not in answer.text

    @pytest.mark.parametrize(
        ("query", "text"),
        [
            ("event=a%0Adata:%20%1B%C3%BC", r"event must be a single line without NUL, got 'a\\n"),
            ("event=%ff", "the query must be percent-encoded UTF-8"),
            ("once=", "once must be a text that names the event"),
        ],
    )
    async def test_parameters_that_cannot_be(self, hub: Hub, query: str, text: str) -> None:
        answer = await post(hub, f"/publish/news?{query}")
        assert answer.status_code == 400
        assert answer.text.startswith(text)
        assert answer.text.isascii()
        assert answer.text.isprintable()

    async def test_a_query_that_is_not_percent_encoded(self, hub: Hub) -> None:
        publisher = hub.publisher(authorize=admit)

        async def raw(scope: Any, receive: Any, send: Any) -> None:
            await publisher({**scope, "query_string": "event=ü".encode()}, receive, send)

        async with client_of(raw) as client:
            assert (await client.post("/news", json=1)).status_code == 400

    async def test_a_long_text_is_cut(self, hub: Hub) -> None:
        answer = await post(hub, f"/publish/news?event=%0A{'a' * 5000}")
        assert answer.text.endswith("aaa...")
        assert len(answer.text) < 510

    async def test_what_the_hub_cannot_encode(self) -> None:
        async def publish(*args: Any, **options: Any) -> str:
            raise EncodingError("it is no event: \x1b")

        async with client_of(HTTPPublisher(publish, admit)) as client:
            answer = await client.post("/news", json=1)
        assert (answer.status_code, answer.text) == (400, r"it is no event: \x1b")

    async def test_a_websocket_is_closed(self, hub: Hub) -> None:
        sent = list[Message]()

        async def receive() -> Message:
            raise WebSocketDisconnect

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "websocket", "path": "/publish/news", "headers": []}
        await hub.publisher(authorize=admit)(scope, receive, send)
        assert [message["type"] for message in sent] == ["websocket.close"]


class Away(MemoryStore):
    """A store that can be read, and doesn't take events."""

    async def append(self, *args: Any, **options: Any) -> Appended:
        raise StoreError("Redis at secret.internal is away")


class Unknown(MemoryStore):
    """A store that keeps an event, and whose answer is lost."""

    lost = 1

    async def append(self, *args: Any, **options: Any) -> Appended:
        appended = await super().append(*args, **options)
        if self.lost:
            self.lost -= 1
            raise PublishUnknownError("the connection broke")
        return appended


@asynccontextmanager
async def hub_in(store: type[Store]) -> AsyncIterator[Hub]:
    async with Hub(store=store) as hub:
        yield hub


class TestUnavailable:
    async def test_the_hub_is_not_open(self) -> None:
        answer = await post(Hub())
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.text.startswith("nothing was published")

    async def test_the_store_is_away(self, caplog: pytest.LogCaptureFixture) -> None:
        async with hub_in(Away) as hub:
            answer = await post(hub)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.text.startswith("nothing was published")
        assert "secret.internal" in caplog.text

    async def test_the_outcome_is_unknown(self) -> None:
        async with hub_in(Unknown) as hub, subscribed(hub, "news") as taken:
            answer = await post(hub, "/publish/news?once=a")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert "unknown" in answer.text
            assert "once=" in answer.text
            assert (await post(hub, "/publish/news?once=a")).status_code == 200
            taken.take_all()
            assert taken.data() == [1]
