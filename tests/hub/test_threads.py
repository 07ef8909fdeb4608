"""Publishing from threads."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from starlette.concurrency import run_in_threadpool

from sse_middleware.errors import EncodingError, HubError, TopicError
from sse_middleware.event_loop.task_group import daemon_task_group
from sse_middleware.hub.from_threads import LoopCalls
from sse_middleware.hub.hub import Hub
from tests.hub.subscribers import passed, subscribed

pytestmark = pytest.mark.anyio


async def in_thread(function: Callable[[], Any]) -> Any:
    """Call a function in a thread that the event loop knows nothing of."""
    results: list[Any] = []

    def call() -> None:
        try:
            results.append(function())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    await anyio.to_thread.run_sync(thread.join)
    (result,) = results
    return result


async def test_from_a_thread_of_starlette() -> None:
    async with Hub() as hub, subscribed(hub, "a") as taken:
        at = await run_in_threadpool(hub.publish_sync, "a", 1, event="x")
        await passed()
        (event,) = taken.events()
        assert (event.last_event_id, event.type, event.data) == (at, "x", "1")


async def test_from_any_thread() -> None:
    async with Hub() as hub, subscribed(hub, "a") as taken:
        at = await in_thread(lambda: hub.publish_sync("a", 1, once="x"))
        assert await in_thread(lambda: hub.publish_sync("a", 2, once="x")) == at
        await passed()
        assert taken.data() == [1]


async def test_errors_come_back() -> None:
    async with Hub() as hub:
        assert isinstance(await in_thread(lambda: hub.publish_sync("", 1)), TopicError)
        assert isinstance(await in_thread(lambda: hub.publish_sync("a", None)), EncodingError)


async def test_not_from_the_thread_of_the_event_loop() -> None:
    async with Hub() as hub:
        with pytest.raises(HubError, match=r"would wait for itself: use `await hub\.publish"):
            hub.publish_sync("a", 1)


async def test_not_from_a_thread_if_the_hub_is_closed() -> None:
    hub = Hub()
    assert isinstance(await in_thread(lambda: hub.publish_sync("a", 1)), HubError)


async def test_a_subscription_may_be_made_in_a_thread() -> None:
    async with Hub() as hub:
        subscription = await run_in_threadpool(hub.subscribe, "a", subject="u")
        await subscription.open(bool)
        await hub.disconnect("u")
        await passed()
        assert subscription.ended
        subscription.close()


async def test_whoever_waits_gets_an_error_when_the_hub_is_closed() -> None:
    calls = LoopCalls(lambda work: work.close())  # nothing ever runs
    waiting = threading.Event()

    def call() -> Any:
        waiting.set()
        return calls.run(anyio.sleep_forever)

    async def close() -> None:
        await anyio.to_thread.run_sync(waiting.wait)
        while not calls._waiting:
            await anyio.lowlevel.checkpoint()
        calls.close()
        calls.close()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(close)
        assert "outcome of the call is unknown" in str(await in_thread(call))
    assert "outcome of the call is unknown" in str(await in_thread(call))
    assert not calls._waiting


async def test_a_call_that_is_cancelled_raises_an_error() -> None:
    async with anyio.create_task_group() as outer, daemon_task_group() as tasks:
        calls, results = LoopCalls(tasks.create_task), []
        began = anyio.Event()

        async def work() -> None:
            began.set()
            await anyio.sleep_forever()

        async def call() -> None:
            results.append(await in_thread(lambda: calls.run(work)))

        outer.start_soon(call)
        await began.wait()
    assert isinstance(results[0], HubError)


def test_an_event_loop_that_has_ended() -> None:
    async def make() -> LoopCalls:
        return LoopCalls(lambda work: work.close())

    calls = asyncio.run(make())
    calls._thread = 0
    with pytest.raises(HubError, match="outcome of the call is unknown"):
        calls.run(anyio.sleep_forever)


def test_a_hub_that_was_closed_in_an_event_loop_that_has_stopped() -> None:
    async def make() -> LoopCalls:
        return LoopCalls(lambda work: work.close())

    loop = asyncio.new_event_loop()
    calls = loop.run_until_complete(make())
    calls.close()
    calls._thread = 0
    with pytest.raises(HubError, match="outcome of the call is unknown"):
        calls.run(anyio.sleep_forever)
    loop.close()
