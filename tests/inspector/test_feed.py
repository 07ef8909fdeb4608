"""What the stream of the page tells: what there is, then what has changed."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

import anyio
import pytest
from starlette.requests import HTTPConnection, Request

from sse_middleware import CloseReason, Hub, SSEMiddleware, event_stream
from sse_middleware.hub.abc import Store
from sse_middleware.hub.memory import MemoryStore
from sse_middleware.inspector import feed
from sse_middleware.inspector.feed import ListChanges
from sse_middleware.inspector.inspector import MAX_DURATION, MAX_STREAMS
from sse_middleware.inspector.rows import LONGEST, shown
from sse_middleware.testing import EventClient
from tests.inspector.kit import application, page_of
from tests.served import ClosedStreams, client_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


class TestStreams:
    async def test_first_it_says_who_it_is(self) -> None:
        async with client_of(application()) as client, page_of(client) as page:
            assert page.hello["process"] == os.getpid()
            assert page.hello["path"] == "/_sse/stream"
            assert page.hello["actions"] == []
            assert page.hello["order"] == "newest"
            assert page.latest["totals"]["open"] == 0
            assert page.latest["hub"] is False
            assert page.events.response.headers["cache-control"].startswith("no-cache")
            assert "content-security-policy" in page.events.response.headers

    async def test_an_open_stream_is_described(self) -> None:
        async with client_of(application(), client=("192.0.2.7", 1)) as client:
            headers = {"last-event-id": "grün".encode()}
            async with client.stream("GET", "/numbers?count=3", headers=headers) as events:
                await events.take(3)
                await anyio.sleep(30)
                async with page_of(client) as page:
                    (row,) = page.shown("streams")
                    began = page.latest["at"] - row.pop("began")
                    assert began == pytest.approx(30, abs=1)
                    assert len(row.pop("id")) == 16
                    assert row == {
                        "method": "GET",
                        "path": "/numbers",
                        "route": "/numbers",
                        "client": "192.0.2.7",
                        "events": 3,
                        "size": len(b"data: 1\n\n") * 3,
                        "waiting": 0,
                        "last": "",
                        "came": "grün",
                    }

    async def test_only_what_has_changed_is_sent_once_a_second(self) -> None:
        async with client_of(application()) as client, client.stream("GET", "/numbers") as events:
            await events.next()
            async with page_of(client) as page:
                began = anyio.current_time()
                await page.next()
                assert anyio.current_time() - began == pytest.approx(1)
                assert page.latest.keys() == {"at", "totals", "hub"}
                async with client.stream("GET", "/numbers?count=2") as others:
                    await others.take(2)
                    await page.until(lambda page: page.paths == ["/numbers", "/numbers"])
                    (row,) = page.latest["streams"]["rows"].values()
                    assert row["events"] == 2
                    assert page.latest["streams"]["total"] == 2
                await page.until(lambda page: page.paths == ["/numbers"])
                assert page.latest["streams"]["rows"] == {}

    async def test_its_own_streams_are_not_among_them(self) -> None:
        """Nor does an observer hear of them."""
        closed = ClosedStreams()
        settings = {"observers": [closed]}
        async with client_of(application(settings=settings)) as client:
            async with page_of(client) as page, page_of(client):
                await page.next()
                assert page.latest["totals"]["open"] == 0
                assert page.latest["totals"]["opened"] == 0
                assert page.shown("streams") == []
            assert closed.records == []

    async def test_limits_of_the_application_lock_nobody_out(self) -> None:
        settings = {"max_streams": 1, "max_streams_per_client": 1}
        async with (
            client_of(application(settings=settings)) as client,
            client.stream("GET", "/numbers") as events,
            page_of(client) as page,
        ):
            await events.next()
            assert (await client.http.get("/numbers")).status_code == 503
            await page.next()
            assert page.closes[0]["reason"] == CloseReason.REFUSED
            assert page.closes[0]["path"] == "/numbers"

    async def test_it_has_a_limit_of_its_own(self) -> None:
        async with client_of(application()) as client, AsyncExitStack() as pages:
            for _ in range(MAX_STREAMS):
                await pages.enter_async_context(page_of(client))
            assert (await client.http.get("/_sse/stream")).status_code == 503
            assert (await client.http.get("/_sse/")).status_code == 200

    @pytest.mark.parametrize(
        ("order", "expected"),
        [
            ("newest", [2, 9]),
            ("oldest", [5, 9]),
            ("events", [9, 5]),
            ("size", [9, 5]),
            ("nonsense", [2, 9]),
        ],
    )
    async def test_lists_are_bounded_in_an_order(self, order: str, expected: list[int]) -> None:
        async with client_of(application(limit=2)) as client, AsyncExitStack() as streams:
            for number in (5, 9, 2):
                stream = client.stream("GET", f"/numbers?count={number}")
                await (await streams.enter_async_context(stream)).take(number)
            async with page_of(client, f"?order={order}") as page:
                assert [row["events"] for row in page.shown("streams")] == expected
                assert page.latest["streams"]["total"] == 3
                assert page.hello["limit"] == 2

    async def test_a_client_that_does_not_read_is_seen_waiting(self) -> None:
        async def never(message: Any) -> None:
            if message["type"] == "http.response.body":
                await anyio.sleep_forever()

        @event_stream
        async def flood(_request: Request) -> AsyncIterator[str]:
            while True:
                yield "x" * 1000
                await anyio.sleep(0.01)

        app = application()
        app.add_route("/flood", flood)
        request = {"type": "http", "method": "GET", "path": "/flood", "headers": []}
        receive: Any = anyio.sleep_forever
        async with client_of(app) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(app, request, receive, never)
            await anyio.sleep(1)
            async with page_of(client, "?order=waiting") as page:
                # A producer that a slow machine stops in between waits for room earlier.
                assert page.shown("streams")[0]["waiting"] > 1000
                assert page.latest["totals"]["waiting"] > 1000
            tasks.cancel_scope.cancel()

    async def test_a_client_key_that_fails_does_no_harm(self) -> None:
        def key(connection: HTTPConnection) -> str:
            if not connection.headers.get("x-key"):
                raise KeyError("x-key")
            return connection.headers["x-key"]

        async with (
            client_of(application(settings={"client_key": key})) as client,
            client.stream("GET", "/numbers"),
            client.stream("GET", "/numbers", headers={"x-key": "me"}),
            page_of(client) as page,
        ):
            assert [row["client"] for row in page.shown("streams")] == ["me", ""]


class TestCloses:
    async def test_they_are_known_from_the_first_look_on(self) -> None:
        async with client_of(application()) as client:
            await client.http.get("/finite")
            async with page_of(client) as page:
                assert page.closes == []
                assert page.latest["totals"]["closed"]["finished"] == 1
                await client.http.get("/finite")
                (close,) = (await page.next()).closes
                assert (close["number"], close["reason"]) == (0, "finished")
                assert (close["route"], close["events"], close["error"]) == ("/finite", 1, "")
            await client.http.get("/finite")
            async with page_of(client) as page:
                assert [close["number"] for close in page.closes] == [0, 1]

    async def test_of_an_error_only_its_type_is_told(self) -> None:
        async with client_of(application()) as client, page_of(client) as page:
            with pytest.raises(RuntimeError, match="a secret"):
                await client.http.get("/failing")
            (close,) = (await page.next()).closes
            assert (close["reason"], close["error"]) == ("error", "RuntimeError")

    async def test_a_hundred_are_kept(self) -> None:
        async with client_of(application()) as client:
            async with page_of(client):
                for _ in range(130):
                    await client.http.get("/finite")
            async with page_of(client) as page:
                assert [close["number"] for close in page.closes] == list(range(30, 130))

    async def test_observers_and_the_page_name_a_stream_alike(self) -> None:
        closed = ClosedStreams()
        async with client_of(application(settings={"observers": [closed]})) as client:
            async with page_of(client) as page:
                await client.http.get("/finite")
                (close,) = (await page.next()).closes
            assert close["id"] == closed.records[0].stream.id

    async def test_nothing_is_kept_until_somebody_looks(self) -> None:
        middleware = SSEMiddleware(application())
        async with client_of(middleware) as client:
            await client.http.get("/finite")
            await client.http.get("/_sse/")
            assert middleware._registries.current().recent is None


class TestEnd:
    async def test_it_goes_on_while_the_application_drains(self) -> None:
        async with client_of(application()) as client, page_of(client) as page:
            assert (await client.http.get("/drain")).text == "drained"
            await page.next()
            assert page.latest["totals"]["draining"] is True
            async with page_of(client) as other:
                assert other.latest["totals"]["draining"] is True

    async def test_it_ends_when_the_server_stops(self) -> None:
        app = application(interval=60)
        async with client_of(app) as client, page_of(client) as page:
            inspector = app.routes[-1].app  # type: ignore[attr-defined]
            inspector._registries.current().drain.begin_with_server()
            assert [event async for event in page.events] == []

    async def test_it_ends_now_and_then_so_that_the_application_is_asked_again(self) -> None:
        async with client_of(application(interval=200)) as client, page_of(client) as page:
            began = anyio.current_time()
            with anyio.fail_after(MAX_DURATION + 1):
                async for _ in page.events:
                    pass
            assert anyio.current_time() - began >= MAX_DURATION * 0.9

    async def test_looking_takes_a_small_part_of_the_time(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks = count()
        monkeypatch.setattr(feed, "perf_counter", lambda: next(looks) * 0.1)
        async with client_of(application()) as client, page_of(client) as page:
            began = anyio.current_time()
            await page.next()
            assert anyio.current_time() - began == pytest.approx(0.1 * feed.SHARE)


class TestHub:
    async def test_topics_with_their_subscribers(self) -> None:
        hub = Hub()
        async with (
            EventClient(application(hub)) as client,
            client.stream("GET", "/rooms/lobby") as one,
            client.stream("GET", "/rooms/lobby") as two,
            client.stream("GET", "/rooms/other") as other,
        ):
            for events in (one, two, other):
                await events.next_id()
            await hub.publish("lobby", 1)
            id_ = await hub.publish("lobby", 2)
            await two.take(2)
            async with page_of(client) as page:
                lobby, quiet = page.shown("topics")
                assert (lobby["name"], lobby["subscribers"], lobby["kept"]) == ("lobby", 2, 2)
                assert lobby["last"] == pytest.approx(page.latest["at"], abs=60)
                assert (quiet["name"], quiet["subscribers"], quiet["last"]) == ("other", 1, 0)
                assert page.shown("streams")[1]["last"] == id_
                assert page.shown("streams")[1]["route"] == "/rooms/{name}"

    async def test_runs_with_their_state(self) -> None:
        hub = Hub()
        async with (
            EventClient(application(hub)) as client,
            client.stream("GET", "/runs/chat:1") as events,
            page_of(client) as page,
        ):
            await events.next()
            (row,) = (await page.next()).shown("runs")
            assert (row["key"], row["state"], row["viewers"]) == ("chat:1", "running", 1)
            assert row["size"] == len(b"data: 1\n\n")
            assert await hub.stop("chat:1")
            assert [event async for event in events] == []
            await page.next()
            (row,) = (await page.next()).shown("runs")
            assert (row["key"], row["state"], row["viewers"]) == ("chat:1", "stopped", 0)
            assert row["ended"] >= row["began"] > 0
            assert page.shown("topics") == []

    async def test_a_run_that_ends_by_itself_is_done(self) -> None:
        async def short() -> AsyncIterator[str]:
            yield "all"

        hub = Hub()
        async with EventClient(application(hub)) as client, page_of(client) as page:
            await hub.resumable("short", short)
            await page.until(lambda page: page.shown("runs") != [])
            await page.until(lambda page: page.shown("runs")[0]["state"] == "done")

    async def test_a_run_of_another_process_is_shown_while_it_is_viewed(self) -> None:
        store: list[Store] = []

        def shared() -> Store:
            if not store:
                store.append(MemoryStore())
            return store[0]

        async with (
            Hub(store=shared) as hub,
            Hub(store=shared) as other,
            client_of(application(hub)) as here,
            client_of(application(other)) as there,
            page_of(here) as page,
            page_of(there) as elsewhere,
            here.stream("GET", "/runs/chat:1") as events,
            there.stream("GET", "/runs/chat:1") as viewing,
        ):
            await events.next()
            await viewing.next()
            assert (await page.next()).shown("runs")[0]["state"] == "running"
            (row,) = (await elsewhere.next()).shown("runs")
            assert (row["state"], row["viewers"], row["began"]) == ("", 1, 0)

    async def test_a_hub_that_the_middleware_does_not_have(self) -> None:
        async with (
            Hub() as hub,
            client_of(application(hub_shown=hub)) as client,
            page_of(client) as page,
        ):
            assert page.latest["hub"] is True

    async def test_a_hub_that_is_closed_is_not_shown(self) -> None:
        async with client_of(application(Hub())) as client, page_of(client) as page:
            assert page.latest["hub"] is False
            assert "topics" not in page.latest


class TestParts:
    def test_a_text_is_cut_and_can_be_encoded(self) -> None:
        assert shown("x" * 1000) == "x" * (LONGEST - 1) + "…"
        assert shown("a\ud800b") == "a?b"
        assert shown("<img>") == "<img>", "the page sets it as text"

    def test_changes_of_a_list(self) -> None:
        changes = ListChanges()
        a, b = {"n": 1}, {"n": 2}
        assert changes.next(0, {}) == {"total": 0, "rows": {}}
        assert changes.next(2, {"a": a, "b": b}) == {
            "total": 2,
            "rows": {"a": a, "b": b},
            "order": ["a", "b"],
        }
        assert changes.next(2, {"a": a, "b": b}) is None
        assert changes.next(2, {"a": b, "b": b}) == {"total": 2, "rows": {"a": b}}
        assert changes.next(3, {"a": b, "b": b}) == {"total": 3, "rows": {}}
        assert changes.next(3, {"b": b, "a": b}) == {"total": 3, "rows": {}, "order": ["b", "a"]}
