"""Nothing is left of a run that has ended."""

import gc
import logging
import weakref
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from sse_middleware import Hub
from sse_middleware.hub.run import RunState
from sse_middleware.hub.runs.log import RunLog
from sse_middleware.hub.runs.log_writer import LogWriter
from sse_middleware.hub.runs.plan import RunPlan
from sse_middleware.hub.runs.runner import Runner
from sse_middleware.hub.runs.viewer import Viewer
from sse_middleware.testing.leftovers import nothing_left_behind
from tests.hub.runs.kit import Workers, attaching, for_ever, numbers, until_state, viewed
from tests.served import OopsError, events_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]

KINDS = (Runner, LogWriter, RunLog, RunPlan, Viewer)

SEEN: ContextVar[Any] = ContextVar("seen")


class Thing:
    """Something that a context variable or a generator holds."""


def alive() -> list[Any]:
    return [one for one in gc.get_objects() if isinstance(one, KINDS)]


async def fail() -> AsyncIterator[int]:
    yield 0
    raise OopsError


@pytest.mark.parametrize("end", ["done", "error", "refused", "too large", "stopped", "fenced"])
async def test_nothing_waits_for_the_garbage_collector(
    memory_workers: Workers, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL + 1, "sse_middleware")  # pytest keeps what is logged
    held: list[weakref.ref[Thing]] = []

    def factory() -> Any:
        thing = Thing()
        held.append(weakref.ref(thing))

        async def generate() -> AsyncIterator[Any]:
            yield repr(thing)
            if end == "error":
                raise OopsError
            if end == "too large":
                yield "x" * 10_000
            while end in ("stopped", "fenced"):
                await anyio.sleep(1)
                yield 1

        if end == "refused":
            raise OopsError
        return generate()

    async def run() -> None:
        in_context = Thing()
        held.append(weakref.ref(in_context))
        SEEN.set(in_context)
        del in_context
        if end == "refused":
            with pytest.raises(OopsError):
                await hub.resumable("k", factory)
        else:
            await hub.resumable("k", factory, max_bytes=5000)
        if end == "stopped":
            await hub.stop("k")
        if end == "fenced":
            await other.resumable("k", numbers(1), restart=True)
            await anyio.sleep(5)

    async with memory_workers.hub() as hub, memory_workers.hub() as other:
        gc.collect()
        gc.disable()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run)
            await viewed(hub)
            await until_state(
                hub,
                {"stopped": RunState.STOPPED, "done": RunState.DONE}.get(
                    end, RunState.DONE if end == "fenced" else RunState.ERROR
                ),
            )
            await anyio.sleep(20)  # the event loop keeps the contexts of cancelled timers
            assert len(held) == 2
            assert alive() == []
            assert [one() for one in held] == [None, None]
        finally:
            gc.enable()


async def test_no_task_stays_with_the_hub(hub: Hub) -> None:
    await hub.resumable("warm", numbers(2))
    await viewed(hub, key="warm")
    await anyio.sleep(100)
    with nothing_left_behind():
        await hub.resumable("k", numbers(2))
        await viewed(hub)
        async with events_of(attaching(hub)):
            pass
        await hub.resumable("l", for_ever)
        async with events_of(attaching(hub, "l")) as events:
            await events.next()
        await hub.stop("l")
        await until_state(hub, RunState.STOPPED, "l")
        await anyio.sleep(100)
        del events


async def test_many_runs_leave_as_little_as_one(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL + 1, "sse_middleware")  # pytest keeps what is logged
    for number in range(50):
        await hub.resumable(f"{number}", numbers(2), ttl=1)
        assert await viewed(hub, key=f"{number}") == [0, 1]
    await anyio.sleep(100)
    await hub.resumable("last", fail, ttl=1)
    await viewed(hub, key="last")
    await anyio.sleep(100)
    running = hub._here()
    assert running.runs._runners == {}
    assert running.runs.watches._watches == {}
    assert len(running.worker.topics) <= 2
    gc.collect()
    assert alive() == []
