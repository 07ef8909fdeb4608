"""`nothing_left_behind`: what it finds, and what it leaves alone."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from sse_middleware import event_stream
from sse_middleware.testing import EventClient, LeftBehindError, nothing_left_behind

pytestmark = pytest.mark.anyio


def numbers() -> Generator[int, None, None]:
    yield 1
    yield 2


async def async_numbers() -> AsyncIterator[int]:
    yield 1
    yield 2


@event_stream
async def endless(request: Request) -> AsyncIterator[int]:
    yield 1
    await anyio.sleep_forever()


APP = Starlette(routes=[Route("/", endless)])


@contextmanager
def found(*what: str) -> Iterator[None]:
    """Expect that each of these is named, in a line of its own, and nothing else."""
    with pytest.raises(LeftBehindError) as caught, nothing_left_behind():
        yield
    head, *lines = str(caught.value).split("\n")
    assert head == "left behind:"
    assert len(lines) == len(what)
    for line, part in zip(lines, what, strict=True):
        assert line.startswith("  ")
        assert part in line


class TestFinds:
    async def test_a_task(self) -> None:
        async def forgotten() -> None:
            await anyio.sleep_forever()

        async with anyio.create_task_group() as tasks:
            with found("forgotten"):
                tasks.start_soon(forgotten)
                await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()

    async def test_a_generator(self) -> None:
        generator = numbers()
        with found("generator numbers at "):
            next(generator)
        generator.close()

    async def test_an_asynchronous_generator(self) -> None:
        with found(f"async generator async_numbers at {__file__}:"):
            generator: Any = async_numbers()
            await anext(generator)
        await generator.aclose()

    async def test_an_open_stream_its_request_and_its_reader(self) -> None:
        async with EventClient(APP) as client:
            block = client.stream("GET", "/")
            with pytest.raises(LeftBehindError) as caught, nothing_left_behind():  # noqa: PT012
                await block.__aenter__()
                await anyio.wait_all_tasks_blocked()
            said = str(caught.value)
            assert "\n  <EventStream: so far: status 200, 9 bytes" in said
            assert "\n  <GET /: running, within its body>" in said
            assert "async generator endless at " in said
            assert "EventStream._read" in said
            await block.__aexit__(None, None, None)

    async def test_several_of_a_kind(self) -> None:
        generators = [numbers(), numbers()]
        with found("generator numbers", "generator numbers"):
            for generator in generators:
                next(generator)

    def test_a_generator_outside_of_an_event_loop(self) -> None:
        generator = numbers()
        with found("generator numbers"):
            next(generator)

    def test_nothing_in_a_block_that_fails(self) -> None:
        generator = numbers()
        with pytest.raises(LookupError), nothing_left_behind():  # noqa: PT012 - the block fails
            next(generator)
            raise LookupError


class TestLeavesAlone:
    async def test_a_stream_that_was_closed(self) -> None:
        with nothing_left_behind():
            async with EventClient(APP) as client, client.stream("GET", "/") as events:
                await events.next()

    async def test_a_stream_within_a_client_that_stays_open(self) -> None:
        async with EventClient(APP) as client:
            with nothing_left_behind():
                async with client.stream("GET", "/") as events:
                    await events.next()

    async def test_generators_and_tasks_that_have_ended(self) -> None:
        with nothing_left_behind():
            assert list(numbers()) == [1, 2]
            async with aclosing(async_numbers()) as generator:  # type: ignore[type-var]
                assert await anext(generator) == 1
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.sleep, 1)

    async def test_generators_and_tasks_from_before_the_block(self) -> None:
        generator, async_generator = numbers(), async_numbers()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.sleep_forever)
            next(generator)
            await anext(async_generator)
            await anyio.wait_all_tasks_blocked()
            with nothing_left_behind():
                next(generator)
                await anext(async_generator)
            tasks.cancel_scope.cancel()
        assert [number async for number in async_generator] == []

    async def test_a_generator_that_never_ran(self) -> None:
        with nothing_left_behind():
            generator = numbers()
        assert next(generator) == 1

    async def test_context_managers_around_and_inside(self) -> None:
        @contextmanager
        def block() -> Iterator[None]:
            yield

        with block(), nothing_left_behind(), block(), nothing_left_behind():
            pass

    async def test_generators_of_installed_code(self) -> None:
        with nothing_left_behind():
            walk = os.walk(".")
            next(walk)

    async def test_generators_without_a_file(self) -> None:
        names: dict[str, Any] = {}
        exec("def made():\n    yield 1\n    yield 2", names)
        with nothing_left_behind():
            generator = names["made"]()
            next(generator)

    async def test_wrappers_of_pytests_hooks(self) -> None:
        def pytest_runtest_teardown() -> Iterator[None]:
            yield

        with nothing_left_behind():
            wrapper = pytest_runtest_teardown()
            next(wrapper)

    def test_objects_that_end_in_the_block(self) -> None:
        log = []

        def closing() -> Iterator[int]:
            try:
                yield 1
            finally:
                log.append("closed")

        generators = [closing()]
        next(generators[0])
        with nothing_left_behind():
            generators.clear()
            assert log == ["closed"]

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_a_whole_event_loop(self, backend: str) -> None:
        async def main() -> None:
            await checkpoint()
            async with EventClient(APP) as client, client.stream("GET", "/") as events:
                await events.next()

        with nothing_left_behind():
            anyio.run(main, backend=backend)

    def test_a_whole_event_loop_without_trio(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "trio", raising=False)
        with nothing_left_behind():
            asyncio.run(asyncio.sleep(0))
