"""`stage_of`: whether a suspended asynchronous generator is still producing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import anyio
import pytest

from sse_middleware.event_loop.loop import running_asyncio_task
from sse_middleware.introspection.generators import Stage, stage_of

pytestmark = pytest.mark.anyio

Make = Callable[[Callable[[], Any]], AsyncIterator[object]]


@asynccontextmanager
async def session(wait: Callable[[], Any]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await wait()


class Context:
    """Waits where it is entered."""

    def __init__(self, wait: Callable[[], Any]) -> None:
        self._wait = wait

    async def __aenter__(self) -> None:
        await self._wait()

    async def __aexit__(self, *_error: object) -> None:
        pass


class Items:
    """An iterator that is not a generator. It has one item."""

    def __init__(self, wait: Callable[[], Any]) -> None:
        self._wait = wait
        self._ended = False

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> int:
        if self._ended:
            raise StopAsyncIteration
        self._ended = True
        await self._wait()
        return 1


async def finally_after_the_last(wait: Any) -> AsyncIterator[object]:
    try:
        yield 1
        yield 2
    finally:
        await wait()


async def exit_of_a_context(wait: Any) -> AsyncIterator[object]:
    async with session(wait):
        yield 1


async def code_after_the_last(wait: Any) -> AsyncIterator[object]:
    for item in range(2):
        yield item
    yield "[DONE]"
    await wait()


async def finally_after_an_error(wait: Any) -> AsyncIterator[object]:
    try:
        yield 1
        raise LookupError
    finally:
        await wait()


async def inside_a_try_that_would_tell_of_an_error(wait: Any) -> AsyncIterator[object]:
    try:
        yield 1
        await wait()
    except OSError:
        yield "error"


async def over_another_that_ends(wait: Any) -> AsyncIterator[object]:
    async for item in finally_after_the_last(wait):
        yield item


async def over_another_within_a_context(wait: Any) -> AsyncIterator[object]:
    async with aclosing(finally_after_the_last(wait)) as items:  # type: ignore[type-var]
        async for item in items:
            yield item


async def over_an_iterator_after_the_last(wait: Any) -> AsyncIterator[object]:
    yield 1
    async with session(anyio.lowlevel.checkpoint):
        pass
    async for _ in Items(wait):
        pass


async def return_in_a_loop(wait: Any) -> AsyncIterator[object]:
    while True:
        yield 1
        if wait:
            await wait()
            return


async def finally_within_a_context(wait: Any) -> AsyncIterator[object]:
    async with session(anyio.lowlevel.checkpoint):
        try:
            yield 1
        finally:
            await wait()


async def exit_of_a_context_after_an_error(wait: Any) -> AsyncIterator[object]:
    async with session(wait):
        yield 1
        raise LookupError


async def exit_of_a_context_before_a_yield(wait: Any) -> AsyncIterator[object]:
    async with session(wait):
        yield 1
    yield 2


async def finally_in_a_loop(wait: Any) -> AsyncIterator[object]:
    while True:
        try:
            yield 1
        finally:
            await wait()


async def over_another_that_cleans_up(wait: Any) -> AsyncIterator[object]:
    async for item in finally_after_the_last(wait):
        yield item
    yield "[DONE]"


async def entering_a_context_in_a_finally(wait: Any) -> AsyncIterator[object]:
    while True:
        try:
            yield 1
        finally:
            async with Context(wait):
                pass


async def exit_of_a_task_group(wait: Any) -> AsyncIterator[object]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        yield 1


CLEANING_UP: list[Make] = [
    entering_a_context_in_a_finally,
    exit_of_a_task_group,
    exit_of_a_context_before_a_yield,
    finally_in_a_loop,
    over_another_that_cleans_up,
    finally_after_the_last,
    exit_of_a_context,
    finally_after_an_error,
    finally_within_a_context,
    exit_of_a_context_after_an_error,
    over_another_that_ends,
    over_another_within_a_context,
]

FINISHING: list[Make] = [
    code_after_the_last,
    inside_a_try_that_would_tell_of_an_error,
    over_an_iterator_after_the_last,
    return_in_a_loop,
]


async def in_a_loop(wait: Any) -> AsyncIterator[object]:
    for item in range(2):
        yield item
        await wait()


async def in_the_condition_of_a_loop(wait: Any) -> AsyncIterator[object]:
    while await wait() or True:
        yield 1


async def in_a_context(wait: Any) -> AsyncIterator[object]:
    async with session(anyio.lowlevel.checkpoint):
        yield 1
        await wait()
        yield 2


async def entering_a_context(wait: Any) -> AsyncIterator[object]:
    yield 1
    async with Context(wait):
        yield 2


async def before_the_first(wait: Any) -> AsyncIterator[object]:
    await wait()
    yield 1


async def saying_that_it_failed(wait: Any) -> AsyncIterator[object]:
    try:
        yield 1 // 1
        yield [].pop()
    except LookupError:
        await wait()
        yield "error"


async def after_a_loop_over_another(wait: Any) -> AsyncIterator[object]:
    async for _ in code_after_the_last(wait):
        pass
    yield "sum"


async def over_another_in_a_loop(wait: Any) -> AsyncIterator[object]:
    while True:
        async with aclosing(code_after_the_last(wait)) as items:  # type: ignore[type-var]
            async for item in items:
                yield item


async def over_an_iterator(wait: Any) -> AsyncIterator[object]:
    async for item in Items(wait):
        yield item


async def over_an_iterator_after_a_context(wait: Any) -> AsyncIterator[object]:
    async with session(anyio.lowlevel.checkpoint):
        pass
    async for item in Items(wait):
        yield item


async def over_an_iterator_for_one_item(wait: Any) -> AsyncIterator[object]:
    async with session(anyio.lowlevel.checkpoint):
        pass
    yield [item async for item in Items(wait)]


async def by_hand(wait: Any) -> AsyncIterator[object]:
    items = code_after_the_last(wait)
    while True:
        yield await anext(items, None)


async def by_its_method(wait: Any) -> AsyncIterator[object]:
    items = code_after_the_last(wait)
    while True:
        yield await items.__anext__()


async def exit_of_a_task_group_before_a_yield(wait: Any) -> AsyncIterator[object]:
    while True:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
        yield 1


async def exit_of_a_task_group_of_asyncio(wait: Any) -> AsyncIterator[object]:
    if running_asyncio_task() is not None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(wait())
    else:
        await wait()
    yield 1


PRODUCING: list[Make] = [
    exit_of_a_task_group_before_a_yield,
    exit_of_a_task_group_of_asyncio,
    in_the_condition_of_a_loop,
    in_a_context,
    entering_a_context,
    in_a_loop,
    before_the_first,
    saying_that_it_failed,
    after_a_loop_over_another,
    over_another_in_a_loop,
    over_an_iterator,
    over_an_iterator_after_a_context,
    over_an_iterator_for_one_item,
    by_hand,
    by_its_method,
]


async def stage_where_it_waits_first(make: Make) -> Stage:
    wait = anyio.Event()
    generator: Any = make(wait.wait)

    async def consume() -> None:
        with suppress(LookupError, RuntimeError):
            async for _ in generator:
                if wait.is_set():
                    break

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(consume)
        await anyio.wait_all_tasks_blocked()
        stage = stage_of(generator)
        wait.set()
    await generator.aclose()
    return stage


STAGES = {
    Stage.PRODUCING: PRODUCING,
    Stage.FINISHING: FINISHING,
    Stage.CLEANING_UP: CLEANING_UP,
}


@pytest.mark.parametrize(
    ("stage", "make"),
    [(stage, make) for stage, each in STAGES.items() for make in each],
    ids=lambda one: getattr(one, "__name__", one),
)
async def test_the_stage_is_where_its_code_leads(stage: Stage, make: Make) -> None:
    assert await stage_where_it_waits_first(make) is stage


async def test_one_that_has_ended_does_nothing_more() -> None:
    generator: Any = before_the_first(anyio.lowlevel.checkpoint)
    await generator.aclose()
    assert stage_of(generator) is not Stage.PRODUCING
