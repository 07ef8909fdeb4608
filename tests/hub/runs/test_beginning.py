"""How a run begins, who may begin one, and what it has of the request."""

import functools
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from sse_middleware import EventSourceResponse, Hub, ServerSentEvent, SSEMiddleware
from sse_middleware.errors import ConfigurationError, HubError, TopicError
from sse_middleware.hub.run import RunState
from sse_middleware.running_request import RUNNING_REQUEST
from tests.hub.runs.kit import (
    Workers,
    answer_to,
    asking,
    attaching,
    data_of,
    never_called,
    numbers,
    until_state,
    viewed,
)
from tests.served import OopsError, call, events_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]

WHO: ContextVar[str] = ContextVar("who", default="nobody")


class TestFactory:
    async def test_one_that_raises(self, workers: Workers) -> None:
        def factory() -> Any:
            raise OopsError("no prompt")

        async with workers.hub() as hub, workers.hub() as other:
            for _ in range(2):
                with pytest.raises(OopsError, match="no prompt"):
                    await hub.resumable("k", factory, restart=True, error_event=str)
                assert await viewed(other) == ["no prompt"]
                assert await hub.state("k") is RunState.ERROR
            assert await viewed(hub) == ["no prompt"]
            viewer = await hub.resumable("k", factory)  # there is a run, which has failed
            assert viewer.run is not None
            assert viewer.run.state is RunState.ERROR

    @pytest.mark.parametrize(
        ("content", "advice"),
        [
            (None, "there is nothing to stream"),
            ("text", "it would be sent in parts"),
            ({"a": 1}, "it would be sent in parts"),
            (17, "it can't be iterated"),
            (numbers, "it must be called"),
        ],
    )
    async def test_one_that_returns_no_iterable(self, hub: Hub, content: Any, advice: str) -> None:
        with pytest.raises(TypeError, match=f"content must be an iterable.*{advice}"):
            await hub.resumable("k", lambda: content)
        assert await hub.state("k") is RunState.ERROR

    async def test_one_that_is_async(self, hub: Hub) -> None:
        async def factory() -> AsyncIterator[int]:
            return numbers(3)()

        class Called:
            async def __call__(self) -> AsyncIterator[int]:
                return numbers(3)()

        for wrong in (factory, functools.partial(factory), Called(), None, 17, numbers(3)()):
            with pytest.raises(ConfigurationError, match="factory must be a function"):
                await hub.resumable("k", wrong)  # type: ignore[arg-type]
        assert await hub.state("k") is None

    async def test_one_that_returns_a_coroutine(self, hub: Hub) -> None:
        async def generate() -> AsyncIterator[int]:
            return numbers(3)()

        content: Any = generate()
        with pytest.raises(TypeError, match="it must be awaited first"):
            await hub.resumable("k", lambda: content)
        content.close()
        assert await hub.state("k") is RunState.ERROR

    async def test_a_generator_function_of_its_own(self, hub: Hub) -> None:
        def generate() -> Iterator[int]:
            yield 1

        await hub.resumable("k", generate)
        assert await viewed(hub) == [1]

    async def test_it_is_called_only_if_the_run_begins(self, hub: Hub) -> None:
        await hub.resumable("k", numbers(2))
        await hub.resumable("k", never_called)
        assert await viewed(hub) == [0, 1]


class TestArguments:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"ttl": 0},
            {"ttl": float("inf")},
            {"ttl": True},
            {"max_bytes": 0},
            {"max_bytes": 1.5},
            {"stop_when_unwatched": 0},
            {"ping_intervall": 3},
            {"subject": ""},
        ],
    )
    async def test_what_can_not_work(self, hub: Hub, wrong: Any) -> None:
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            await hub.resumable("k", numbers(1), **wrong)
        assert await hub.state("k") is None

    @pytest.mark.parametrize("key", ["", "x" * 251, "a\nb", "\0", "\ud800", 17, None])
    async def test_what_is_no_key(self, hub: Hub, key: Any) -> None:
        for ask in (
            lambda: hub.resumable(key, numbers(1)),
            lambda: hub.attach(key),
            lambda: hub.stop(key),
            lambda: hub.state(key),
        ):
            with pytest.raises(TopicError, match="a key must be a str of 1 to 250 characters"):
                await ask()

    @pytest.mark.parametrize("key", ["x" * 250, "\U0001f600" * 250, "a b/c?d=*[e]", "stop", "é"])
    async def test_odd_keys(self, workers: Workers, key: str) -> None:
        async with workers.hub() as hub, workers.hub() as other:
            await hub.resumable(key, numbers(2))
            assert await viewed(other, key=key) == [0, 1]
            assert await other.state(key) is RunState.DONE
            gap = (await answer_to(attaching(other, key), "17")).content
            assert key.encode() in gap  # and not the name of its topic

    async def test_the_topic_of_a_run_is_nobodys(self, hub: Hub) -> None:
        await hub.resumable("k", numbers(1))
        for name in ("\0run:k", "run:k", "k"):
            if "\0" in name:
                with pytest.raises(TopicError):
                    hub.subscribe(name)
            else:
                assert not (await hub.history(name)).events

    async def test_a_filter_of_a_viewer_is_checked(self, hub: Hub) -> None:
        with pytest.raises(ConfigurationError, match="where"):
            await hub.attach("k", where=17)  # type: ignore[arg-type]

    async def test_a_hub_that_is_not_open(self) -> None:
        hub = Hub()
        for ask in (hub.resumable("k", numbers(1)), hub.attach("k"), hub.stop("k"), hub.state("k")):
            with pytest.raises(HubError, match="is not open"):
                await ask


class TestContext:
    async def test_the_caller_s_variables(self, hub: Hub) -> None:
        async def generate() -> AsyncIterator[str]:
            yield WHO.get()
            WHO.set("the run")
            await anyio.sleep(1)
            yield WHO.get()

        def generate_in_thread() -> Iterator[str]:
            yield WHO.get()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            WHO.set("a middleware")
            await asking(hub, generate)(scope, receive, send)
            assert WHO.get() == "a middleware"
            await hub.resumable("thread", generate_in_thread)

        app_in_middleware = SSEMiddleware(app, hub=hub)
        assert data_of((await answer_to(app_in_middleware)).content) == ["a middleware", "the run"]
        assert WHO.get() == "nobody"
        assert await viewed(hub, key="thread") == ["a middleware"]

    async def test_the_request_is_not_its_own(self, hub: Hub) -> None:
        async def outer() -> AsyncIterator[Any]:
            yield RUNNING_REQUEST.get() is None
            await hub.resumable("inner", numbers(2))
            yield await viewed(hub, key="inner")

        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert RUNNING_REQUEST.get() is not None
            await asking(hub, outer)(scope, receive, send)
            assert RUNNING_REQUEST.get() is not None

        body = (await answer_to(SSEMiddleware(app, hub=hub))).content
        assert data_of(body) == [True, [0, 1]]
        assert RUNNING_REQUEST.get() is None

    async def test_it_goes_on_without_the_client(self, hub: Hub) -> None:
        async with events_of(asking(hub, numbers(10, 1))) as events:
            await events.next()
        await anyio.sleep(20)
        assert await hub.state("k") is RunState.DONE

    @pytest.mark.parametrize("seconds", [0, 0.5, 1.5])
    async def test_the_client_leaves_before_it_has_begun(
        self, memory_workers: Workers, seconds: float
    ) -> None:
        async with memory_workers.hub() as hub:
            memory_workers.faults[0].delays = {"begin_run": 1, "append": 0.1}
            with anyio.move_on_after(seconds):
                await call(asking(hub, numbers(3)))
            memory_workers.faults[0].delays = {}
            await until_state(hub, RunState.DONE)
            assert await viewed(hub) == [0, 1, 2]

    async def test_what_is_cancelled_at_once(self, hub: Hub) -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await hub.resumable("k", numbers(3))
        await anyio.sleep(1)
        assert await hub.state("k") in (None, RunState.DONE)

    async def test_settings_of_the_middleware_count(self, hub: Hub) -> None:
        async def fail() -> AsyncIterator[int]:
            yield 1
            raise OopsError

        async def app(scope: Any, receive: Any, send: Any) -> None:
            key = scope["query_string"].decode()
            options: Any = {"error_event": lambda _: "own"} if key == "own" else {}
            await EventSourceResponse(await hub.resumable(key, fail, **options))(
                scope, receive, send
            )

        served = SSEMiddleware(app, hub=hub, error_event=lambda _: "middleware's")
        assert data_of((await answer_to(served, url="/?own")).content) == [1, "own"]
        assert data_of((await answer_to(served, url="/?other")).content) == [1, "middleware's"]


class TestIds:
    @pytest.mark.parametrize("restart", [False, True])
    @pytest.mark.parametrize("url", ["/", "/?last_event_id=17"])
    @pytest.mark.parametrize("layers", [["hub"], ["hub", "none"], ["none", "hub"], ["hub", "hub"]])
    async def test_a_request_with_one_begins_nothing(
        self, hub: Hub, layers: list[str], url: str, restart: bool
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            viewer = await hub.resumable("k", numbers(3), restart=restart)
            await EventSourceResponse(viewer)(scope, receive, send)

        served: Any = app
        for layer in layers:
            served = SSEMiddleware(served, hub=hub if layer == "hub" else None)
        sent = "" if "?" in url else "17"
        response = await answer_to(served, sent, url=url)
        assert (response.status_code, response.content) == (204, b"")
        assert await hub.state("k") is None
        await hub.resumable("k", numbers(2))
        response = await answer_to(served, sent, url=url)
        assert data_of(response.content) == ["gap: reset", 0, 1]

    async def test_without_the_middleware_the_id_is_unknown(self, hub: Hub) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await EventSourceResponse(await hub.resumable("k", numbers(2)))(scope, receive, send)

        assert data_of((await answer_to(app, "17")).content) == ["gap: reset", 0, 1]

    async def test_one_with_a_newline_counts_as_none(self, hub: Hub) -> None:
        response = await answer_to(asking(hub, numbers(2)), url="/?last_event_id=a%0Ab")
        assert data_of(response.content) == [0, 1]


async def test_a_run_that_yields_events_for_its_first_item_only(hub: Hub) -> None:
    await hub.resumable("k", lambda: [ServerSentEvent(comment="only a comment"), 1])
    assert await viewed(hub) == [1]
