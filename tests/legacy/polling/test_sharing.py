"""Subscribers that share the calls of a polled endpoint: who may, who calls, who is told."""

from functools import partial
from typing import Any

import anyio
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from sse_middleware import ConfigurationError
from sse_middleware.testing import EventClient, EventStream
from tests.legacy.apps import reading, sent
from tests.legacy.polling.polled import Guarded, Status, asked, served, shared, streams
from tests.served import OopsError

# ruff: noqa: SIM117 - a request within its client
pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


async def texts(streams: list[EventStream]) -> list[str | None]:
    return [(await stream.next()).raw_data for stream in streams]


class Document:
    """Answers with what was asked for."""

    def __init__(self, vary: str = "", names: tuple[str, ...] = ()) -> None:
        self.calls = 0
        self.vary = vary
        self.names = names
        self.of: dict[str, str] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls += 1
        request = Request(scope)
        asked_for = [request.headers.get(name, "-") for name in self.names]
        text = " ".join([str(request.url).removeprefix("http://testserver"), *asked_for])
        headers = {"vary": self.vary} if self.vary else {}
        response = PlainTextResponse(text + self.of.get(text, ""), headers=headers)
        await response(scope, receive, send)


class TestIdentity:
    @pytest.mark.parametrize(
        ("one", "another"),
        [
            ("/docs/1", "/docs/2"),
            ("/docs?of=1", "/docs?of=2"),
            ("/docs?", "/docs?of=2"),
            ("/docs?a=1&b=2", "/docs?b=2&a=1"),
            ("/docs/a%2Fb", "/docs/a/b"),
            ("http://one.test/docs", "http://two.test/docs"),
            ("http://one.test/docs", "https://one.test/docs"),
            ("http://one.test/docs", "http://one.test:81/docs"),
        ],
    )
    async def test_another_url_is_another_poll(self, one: str, another: str) -> None:
        document = Document()
        async with reading(served(document, key=shared)) as client:
            async with client.stream("GET", one) as first, client.stream("GET", another) as second:
                await anyio.sleep(1)
                assert document.calls == 2
                texts = [(await stream.next()).raw_data or "" for stream in (first, second)]
        assert texts[0] != texts[1] or "%2F" in one  # Starlette's URL doesn't tell the paths apart

    async def test_a_tenant_gets_the_document_that_it_asks_for(self) -> None:
        def tenant(request: Request) -> str | None:
            return request.headers.get("x-tenant")

        app = served(Document(), key=tenant)
        async with reading(app, headers={"x-tenant": "a"}) as client:
            for _ in range(2):
                async with client.stream("GET", "/docs/1") as one:
                    async with client.stream("GET", "/docs/2") as two:
                        assert await texts([one, two]) == ["/docs/1", "/docs/2"]

    @pytest.mark.parametrize("other", [{"root_path": "/v2"}, {"scheme": "https"},
        {"server": ("other", 80)}, {"server": ["other", 80]}])  # fmt: skip
    async def test_what_the_server_says_of_a_request_counts(self, other: dict[str, Any]) -> None:
        document = Document()
        app = served(document, key=shared)
        plain = {"scheme": "http", "server": ("one", 80)}
        async with anyio.create_task_group() as tasks:
            for scope in (plain, plain, {**plain, **other}):
                tasks.start_soon(partial(sent, app, path="/a", scope=scope))
            await anyio.sleep(1)
            assert document.calls == 2
            tasks.cancel_scope.cancel()

    @pytest.mark.parametrize("key", [[1], {"a": 1}, ({},)])
    async def test_a_key_must_be_hashable(self, key: Any) -> None:
        status = Status()
        async with reading(served(status, key=lambda _: key)) as client:
            with pytest.raises(ConfigurationError, match=r"key of LegacyRoute.*hashable.*got"):
                await asked(client)
        assert status.requests == []


class TestVary:
    @pytest.mark.parametrize("vary", ["X-Of", "x-of", "Accept, X-OF ,", "accept-encoding,X-Of"])
    async def test_another_value_is_another_poll(self, vary: str) -> None:
        document = Document(vary, ("x-of",))
        async with reading(served(document, key=shared)) as client:
            async with (
                streams(client, "a", "b", **{"x-of": "1"}) as ones,
                streams(client, "c", "d", **{"x-of": "2"}) as twos,
                streams(client, "e") as nones,
            ):
                assert await texts(ones) == ["/status 1"] * 2
                assert await texts(twos) == ["/status 2"] * 2
                assert await texts(nones) == ["/status -"]
                assert document.calls <= 4  # the one that waited for an answer to other headers
                before = document.calls
                await anyio.sleep(20)
                assert document.calls - before == pytest.approx(3 * 10, abs=3)
                document.of["/status 2"] = "!"
                assert await texts(twos) == ["/status 2!"] * 2
                assert [len(one.received) for one in (*ones, *nones)] == [1, 1, 1]

    async def test_those_that_wait_for_a_first_answer_may_find_that_it_is_not_theirs(self) -> None:
        document = Document("X-Of", ("x-of",))
        status = Status()
        status.takes = 2

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            await anyio.sleep(2)
            await document(scope, receive, send)

        async with reading(served(slow, key=shared)) as client:
            async with (
                streams(client, "a", **{"x-of": "1"}) as ones,
                streams(client, "b", **{"x-of": "2"}) as twos,
            ):
                assert await texts([*ones, *twos]) == ["/status 1", "/status 2"]

    async def test_an_answer_may_begin_to_vary(self) -> None:
        document = Document(names=())
        async with reading(served(document, key=shared)) as client:
            async with (
                streams(client, "a", **{"x-of": "1"}) as ones,
                streams(client, "b", **{"x-of": "2"}) as twos,
            ):
                assert await texts([*ones, *twos]) == ["/status"] * 2
                document.vary, document.names = "x-of", ("x-of",)
                assert await texts([*ones, *twos]) == ["/status 1", "/status 2"]
                document.of["/status 2"] = "!"
                assert await texts(twos) == ["/status 2!"]
                assert len(ones[0].received) == 2

    async def test_an_answer_may_vary_by_more_and_more(self) -> None:
        document = Document("x-a", ("x-a", "x-b"))
        headers = [{"x-a": a, "x-b": b} for a in "12" for b in "12"]
        async with reading(served(document, key=shared)) as client:
            async with (
                streams(client, "a", **headers[0]) as one,
                streams(client, "a", **headers[2]) as three,
            ):
                assert await texts([*one, *three]) == ["/status 1 1", "/status 2 1"]
                document.vary = "x-b"  # one of them forgets a header
                async with (
                    streams(client, "a", **headers[1]) as two,
                    streams(client, "a", **headers[3]) as four,
                ):
                    await anyio.sleep(10)
                    assert two[0].received[-1].raw_data == "/status 1 2"
                    assert four[0].received[-1].raw_data == "/status 2 2"
                    assert len(one[0].received) == len(three[0].received) == 1

    async def test_an_answer_may_begin_to_vary_while_another_call_is_on_its_way(self) -> None:
        async def endpoint(scope: Any, receive: Any, send: Any) -> None:
            headers = Request(scope).headers
            tag = f'"{headers["x-a"]}{headers["x-b"] if split else ""}"'
            await anyio.sleep(takes.get(headers["x-a"], 0))
            answer = Response("", 304, {"vary": "x-a", "etag": tag})
            if headers.get("if-none-match") != tag:
                vary = "x-a, x-b" if split and headers["x-a"] == "2" else "x-a"
                answer = PlainTextResponse(tag, headers={"etag": tag, "vary": vary})
            await answer(scope, receive, send)

        split, takes = False, dict[str, float]()
        async with reading(served(endpoint, key=shared), timeout=50) as client:
            async with (
                streams(client, "", **{"x-a": "1", "x-b": "2"}) as one,
                streams(client, "", **{"x-a": "2", "x-b": "2"}) as two,
            ):
                async with streams(client, "", **{"x-a": "1", "x-b": "1"}) as first:
                    assert await texts([*one, *two, *first]) == ['"1"', '"2"', '"1"']
                    await one[0].disconnect()
                    await anyio.sleep(1)
                    takes["1"] = 4  # the call of `first`, for an answer that `one` has brought
                    await anyio.sleep(3)
                    split = True
                    assert await texts([*two, *first]) == ['"22"', '"11"']

    async def test_a_star_is_never_shared(self) -> None:
        document = Document("*", ("authorization",))
        async with reading(served(document, key=shared)) as client:
            async with streams(client, "a", "b", "c") as all_of_them:
                assert await texts(all_of_them) == ["/status a", "/status b", "/status c"]
                before = document.calls
                await anyio.sleep(20)
                assert document.calls - before == pytest.approx(30, abs=3)

    async def test_what_is_the_same_in_every_call_separates_nobody(self) -> None:
        document = Document("Accept, Accept-Encoding, Range", ("accept", "accept-encoding"))
        async with reading(served(document, key=shared)) as client:
            async with (
                client.stream("GET", "/a", headers={"accept-encoding": "gzip"}) as one,
                client.stream("GET", "/a", headers={"accept-encoding": "br", "range": "x"}) as two,
            ):
                assert await texts([one, two]) == ["/a */* -"] * 2
                assert document.calls == 1


class TestRefusals:
    @pytest.mark.parametrize("status", [401, 403, 404, 410, 400, 302, 204, 206])
    async def test_who_is_refused_is_told_and_the_others_go_on(self, status: int) -> None:
        guarded = Guarded()
        async with reading(served(guarded, key=shared)) as client:
            async with streams(client, "a", "b", "c") as (first, *others):
                assert await texts([first, *others]) == ["one"] * 3
                guarded.of["a"] = Response(status_code=status)
                assert [event async for event in first] == []  # it ends, and well
                guarded.body = "two"
                before = anyio.current_time()
                assert await texts(others) == ["two"] * 2
                assert anyio.current_time() - before <= 2
                assert guarded.callers[-1] in "bc"
                guarded.of["b"] = guarded.of["c"] = Response(status_code=status)
                for other in others:
                    assert [event async for event in other] == []

    async def test_who_comes_back_after_a_refusal_is_refused(self) -> None:
        guarded = Guarded()
        async with reading(served(guarded, key=shared)) as client:
            async with streams(client, "a", "b") as (first, other):
                await texts([first, other])
                guarded.of["a"] = PlainTextResponse("no", status_code=403)
                assert [event async for event in first] == []
                answer = await asked(client, authorization="a")
                assert (answer.status_code, answer.text) == (403, "no")
                guarded.body = "two"
                assert await texts([other]) == ["two"]

    async def test_after_a_refusal_each_new_one_calls_once_and_then_shares(self) -> None:
        guarded = Guarded()
        async with reading(served(guarded, key=shared)) as client:
            async with streams(client, "a", "b") as (first, other):
                await texts([first, other])
                guarded.of["a"] = Response(status_code=401)
                assert [event async for event in first] == []
                async with streams(client, "c", "d") as new:
                    assert await texts(new) == ["one"] * 2
                    assert (guarded.callers.count("c"), guarded.callers.count("d")) == (1, 1)
                    guarded.callers.clear()
                    await anyio.sleep(20)
                    assert len(set(guarded.callers)) == 1
                    assert len(guarded.callers) in (9, 10, 11)
                    guarded.body = "two"
                    assert await texts([other, *new]) == ["two"] * 3

    async def test_a_first_refusal_is_the_answer_and_the_next_one_calls_at_once(self) -> None:
        guarded = Guarded()
        guarded.takes = 0.3
        guarded.of["a"] = Response("no", status_code=403)
        got: list[Any] = []

        async def ask(client: EventClient) -> None:
            got.append((await asked(client, authorization="a")).status_code)

        async with reading(served(guarded, key=shared, poll=30)) as client:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, client)
                await anyio.wait_all_tasks_blocked()
                async with streams(client, "b") as (second,):
                    assert await texts([second]) == ["one"]
        assert got == [403]
        assert guarded.callers[:2] == ["a", "b"]
        assert guarded.times[1] - guarded.times[0] < 0.35

    async def test_all_get_at_once_what_the_call_of_a_new_one_brings(self) -> None:
        guarded = Guarded()
        async with reading(served(guarded, key=shared, poll=100), timeout=500) as client:
            async with streams(client, "a", "b", "c") as (first, *others):
                assert await texts([first, *others]) == ["one"] * 3
                guarded.of["a"] = Response(status_code=403)
                assert [event async for event in first] == []  # so a newcomer calls at once
                await anyio.sleep(150)
                guarded.body = "two"
                async with streams(client, "d") as (newcomer,):
                    before = anyio.current_time()
                    assert await texts([newcomer, *others]) == ["two"] * 3
                    assert anyio.current_time() - before < 1
                    guarded.callers.clear()
                    await anyio.sleep(950)
                    assert len(guarded.callers) in (9, 10)

    async def test_the_answer_of_an_earlier_call_replaces_no_later_one(self) -> None:
        async def endpoint(scope: Any, receive: Any, send: Any) -> None:
            user = Request(scope).headers["authorization"]
            answer = refused.get(user) or PlainTextResponse(text)
            await anyio.sleep(takes.get(user, 0))
            await answer(scope, receive, send)

        text, takes, refused = "one", dict[str, float](), dict[str, Response]()
        async with reading(served(endpoint, key=shared)) as client:
            async with streams(client, "a", "b") as (first, slow):
                assert await texts([first, slow]) == ["one"] * 2
                refused["a"] = Response(status_code=403)
                assert [event async for event in first] == []  # so a newcomer calls at once
                takes["b"] = 5
                await anyio.sleep(3)  # a call is on its way, with the old answer
                text = "two"
                async with streams(client, "c") as (newcomer,):
                    assert await texts([newcomer, slow]) == ["two"] * 2
                    await anyio.sleep(20)
                    assert len(newcomer.received) == len(slow.received) - 1 == 1


class TestFailures:
    @pytest.mark.parametrize(
        "failing",
        [OopsError("down"), *(Response(status_code=code) for code in (500, 502, 503, 408, 429)),
            Response("x", headers={"content-encoding": "br"})],
        ids=["raises", "500", "502", "503", "408", "429", "compressed"],
    )  # fmt: skip
    async def test_the_next_one_calls(self, failing: Any, caplog: pytest.LogCaptureFixture) -> None:
        guarded = Guarded()
        async with reading(served(guarded, key=shared), timeout=10) as client:
            async with streams(client, "a", "b", "c") as all_of_them:
                assert await texts(all_of_them) == ["one"] * 3
                assert set(guarded.callers) == {"a"}
                guarded.of["a"] = failing
                guarded.body = "two"
                assert await texts(all_of_them) == ["two"] * 3
                assert guarded.callers[-2:] == ["a", "b"]
                guarded.callers.clear()
                await anyio.sleep(20)
                assert set(guarded.callers) <= {"b", "c"}  # those whose calls don't fail
        assert len(caplog.records) == 1
        assert "next call in 4 s" in caplog.records[0].message

    async def test_a_newcomer_calls_in_place_of_one_that_failed(self) -> None:
        guarded = Guarded()
        async with reading(served(guarded, key=shared, poll=10), timeout=50) as client:
            async with streams(client, "a") as first:
                await texts(first)
                guarded.of["a"] = OopsError("down")
                await anyio.sleep(11)
                guarded.body = "two"
                async with streams(client, "b") as second:
                    assert await texts([*first, *second]) == ["two", "one"]
                    assert guarded.callers == ["a", "a", "b"]
                    assert guarded.times[2] - guarded.times[1] == pytest.approx(20)
                guarded.of = {}
                guarded.body = "three"
                assert await texts(first) == ["three"]

    async def test_they_take_turns_while_all_fail(self, caplog: pytest.LogCaptureFixture) -> None:
        guarded = Guarded()
        async with reading(served(guarded, key=shared)) as client:
            async with streams(client, "a", "b", "c", "d") as all_of_them:
                await texts(all_of_them)
                guarded.callers.clear()
                guarded.of = {user: OopsError(user) for user in "abc"}
                guarded.of["d"] = Response(status_code=500)
                await anyio.sleep(600)
                assert "".join(guarded.callers).startswith("abcdabcd")
                gaps = [round(b - a) for a, b in zip(guarded.times[1:], guarded.times[2:])]  # noqa: B905
                assert gaps[:7] == [4, 8, 16, 32, 60, 60, 60]
                guarded.of = {}
                guarded.body = "two"
                assert await texts_within(all_of_them, 60) == ["two"] * 4
                assert [one.response.status_code for one in all_of_them] == [200] * 4
        assert len(caplog.records) == len(guarded.callers) - 1

    async def test_one_that_has_failed_gets_what_the_call_of_another_one_brings(self) -> None:
        guarded = Guarded()
        async with reading(served(guarded, key=shared)) as client:
            async with streams(client, "a", "b") as (first, failing):
                assert await texts([first, failing]) == ["one"] * 2
                guarded.of["a"] = Response(status_code=403)
                assert [event async for event in first] == []  # so a newcomer calls at once
                guarded.of["b"] = Response(status_code=500)
                await anyio.sleep(200)  # by now `b` rests for a minute after each call
                guarded.body = "two"
                async with streams(client, "c") as (newcomer,):
                    before = anyio.current_time()
                    assert await texts([newcomer, failing]) == ["two"] * 2
                    assert anyio.current_time() - before < 1

    async def test_one_that_works_is_found_among_many(self) -> None:
        guarded = Guarded()
        users = [f"u{number}" for number in range(20)]
        async with reading(served(guarded, key=shared, poll=1), timeout=2000) as client:
            async with streams(client, *users) as all_of_them:
                await texts(all_of_them)
                guarded.of = {user: OopsError(user) for user in users[:-1]}
                guarded.callers.clear()
                guarded.body = "two"
                assert await texts(all_of_them) == ["two"] * 20
                assert guarded.callers == users

    async def test_a_client_that_does_not_read_holds_nobody_up(self) -> None:
        async def big(scope: Any, receive: Any, send: Any) -> None:
            await PlainTextResponse(f"{len(calls)}" * 100_000)(scope, receive, send)
            calls.append(1)

        async def never(message: Any) -> None:
            if message["type"] == "http.response.body":
                await anyio.sleep_forever()

        calls: list[int] = []
        app: Any = served(big, key=shared, send_timeout=None, max_piece=1_000_000)
        stalled = {"type": "http", "method": "GET", "path": "/status", "root_path": "",
            "scheme": "http", "query_string": b"", "raw_path": b"/status",
            "headers": [(b"host", b"testserver"), (b"accept", b"text/event-stream")],
        }  # fmt: skip
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(app, stalled, anyio.sleep_forever, never)
            await anyio.sleep(1)
            async with reading(app) as client, client.stream("GET", "/status") as other:
                await other.take(5)
                assert len(calls) in (5, 6)
            tasks.cancel_scope.cancel()

    async def test_the_next_one_calls_when_the_caller_leaves_in_its_call(self) -> None:
        guarded = Guarded()
        async with reading(served(guarded, key=shared)) as client:
            async with streams(client, "b") as others:
                async with streams(client, "a") as first:
                    await texts([*others, *first])
                    guarded.takes = 1000
                    await anyio.sleep(3)
                    guarded.takes = 0
                    await others[0].disconnect()
                    assert guarded.cancelled == 1
                    guarded.body = "two"
                    assert await texts(first) == ["two"]
                    assert guarded.callers[-1] == "a"


async def texts_within(streams: list[EventStream], seconds: float) -> list[str | None]:
    return [(await stream.next(seconds)).raw_data for stream in streams]
