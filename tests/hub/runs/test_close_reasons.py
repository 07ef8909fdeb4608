"""What observers are told of the streams that view a run: each ends as the run has ended."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from sse_middleware import CloseReason, Hub
from sse_middleware.errors import RunAbortedError, RunFailedError
from sse_middleware.hub.run import RunState
from tests.hub.runs.kit import Workers, answer_to, attaching, for_ever, numbers, until_state
from tests.served import events_of, observed

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


async def failing() -> AsyncIterator[int]:
    yield 0
    await anyio.sleep(1)
    raise RuntimeError("the model is away")


def too_large(hub: Hub) -> Any:
    return hub.resumable("k", numbers(100, 0.1), max_bytes=50)


def stopped(hub: Hub) -> Any:
    return hub.resumable("k", for_ever, stop_when_unwatched=1)


@pytest.mark.parametrize(
    ("begin", "state", "reason", "error"),
    [
        (lambda hub: hub.resumable("k", numbers(3, 1)), RunState.DONE, CloseReason.FINISHED, None),
        (
            lambda hub: hub.resumable("k", failing),
            RunState.ERROR,
            CloseReason.ERROR,
            RunFailedError,
        ),
        (too_large, RunState.ERROR, CloseReason.ERROR, RunFailedError),
        (stopped, RunState.STOPPED, CloseReason.FINISHED, None),
    ],
    ids=["done", "failed", "too large", "stopped"],
)
async def test_those_who_come_during_a_run_and_after_it(
    hub: Hub, begin: Any, state: RunState, reason: CloseReason, error: type[Exception] | None
) -> None:
    app, closed = observed(attaching(hub), error_event=None)
    await begin(hub)
    if state is not RunState.STOPPED:
        response = await answer_to(app)
        assert response.content.endswith(b"\n\n")  # and not cut off
    await until_state(hub, state)
    await answer_to(app)
    assert set(closed.reasons) == {reason}
    assert {type(one.error) for one in closed.records} == {error or type(None)}
    assert app.stats().closed[reason] == len(closed.records)


async def test_a_run_whose_worker_dies(memory_workers: Workers) -> None:
    async with memory_workers.hub() as hub, memory_workers.hub() as other:
        app, closed = observed(attaching(other))
        await hub.resumable("k", for_ever)
        async with events_of(app) as events:
            await events.next()
            memory_workers.faults[0].away = True
            assert [event async for event in events] == []
        assert closed.reasons == [CloseReason.ERROR]
        assert isinstance(closed.records[0].error, RunAbortedError)


async def test_a_run_that_is_drained(memory_workers: Workers) -> None:
    async with memory_workers.hub() as other:
        app, closed = observed(attaching(other))
        async with memory_workers.hub(drain_grace_resumable=0) as hub:
            await hub.resumable("k", for_ever)
        await answer_to(app)
        assert closed.reasons == [CloseReason.DRAINED]
        assert closed.records[0].error is None


async def test_a_client_that_leaves_first(hub: Hub) -> None:
    app, closed = observed(attaching(hub))
    await hub.resumable("k", failing)
    async with events_of(app) as events:
        await events.next()
    assert closed.reasons == [CloseReason.CLIENT_DISCONNECTED]
    assert closed.records[0].error is None
