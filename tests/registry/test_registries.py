"""The registry of each event loop, and the lifespans of its servers."""

import gc
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from weakref import ref

import anyio
import pytest

from sse_middleware import CloseReason
from sse_middleware.registry.registries import Registries
from sse_middleware.registry.registry import Registry
from sse_middleware.registry.taken_slots import Full
from sse_middleware.settings import Policy
from sse_middleware.testing import VirtualTime
from tests.registry.slots import OpenStream, admitted


async def nothing(*_: Any) -> Any:
    """Neither receive nor send."""


@asynccontextmanager
async def lifespan_of(registries: Registries) -> AsyncIterator[None]:
    """Run a lifespan as long as the block lasts, and shut it down."""
    begun, stop = anyio.Event(), anyio.Event()

    async def live(_scope: Any, receive: Any, _send: Any) -> None:
        begun.set()
        await stop.wait()
        await receive()

    async def receive() -> Any:
        return {"type": "lifespan.shutdown"}

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(registries.run_lifespan, live, {}, receive, nothing)
        await begun.wait()
        yield
        stop.set()


@pytest.mark.anyio
class TestLifespan:
    @pytest.mark.parametrize("drains", [True, False])
    async def test_its_shutdown_waits_until_the_streams_have_ended(self, drains: bool) -> None:
        registries = Registries(Policy(drain=drains))
        slot, stream = admitted(registries.current()), OpenStream()
        slot.opened(stream)
        received: list[str] = []

        async def receive() -> Any:
            return {"type": f"lifespan.{'shutdown' if received else 'startup'}"}

        async def live(_scope: Any, receive: Any, _send: Any) -> None:
            while "lifespan.shutdown" not in received:
                message = await receive()
                received.append(message["type"])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(registries.run_lifespan, live, {}, receive, nothing)
            await anyio.wait_all_tasks_blocked()
            assert received == ["lifespan.startup"] + ["lifespan.shutdown"] * (not drains)
            assert stream.delays == [0] * drains
            slot.give_back()
        assert received == ["lifespan.startup", "lifespan.shutdown"]

    async def test_without_streams_its_shutdown_does_not_wait(self) -> None:
        received: list[Any] = []

        async def receive() -> Any:
            return {"type": "lifespan.shutdown"}

        async def live(_scope: Any, receive: Any, _send: Any) -> None:
            received.append(await receive())

        with anyio.fail_after(1):
            await Registries(Policy()).run_lifespan(live, {}, receive, nothing)
        assert received == [{"type": "lifespan.shutdown"}]


class TestRegistries:
    def test_each_event_loop_has_its_own(self) -> None:
        registries = Registries(Policy(drain=False))
        seen = list[Registry]()

        async def main() -> None:
            seen.append(registries.current())
            assert registries.current() is seen[-1]

        for backend in ("asyncio", "trio"):
            VirtualTime(backend).run(main)
        assert seen[0] is not seen[1]

    @pytest.mark.anyio
    async def test_a_worker_thread_has_that_of_its_event_loop(self) -> None:
        registries = Registries(Policy(drain=False))
        assert await anyio.to_thread.run_sync(registries.current) is registries.current()

    def test_without_an_event_loop_there_is_none(self) -> None:
        registries = Registries(Policy(drain=False))
        with pytest.raises(RuntimeError):
            registries.current()
        failed: list[Exception] = []

        def ask(current: Callable[[], object]) -> None:
            try:
                current()
            except RuntimeError as error:
                failed.append(error)

        thread = threading.Thread(target=ask, args=(registries.current,))
        thread.start()
        thread.join()
        assert failed

    @pytest.mark.anyio
    async def test_a_lifespan_after_a_drain_begins_with_a_new_one(self) -> None:
        registries = Registries(Policy(drain=False))
        first = registries.current()
        async with lifespan_of(registries):
            assert registries.current() is first
        await first.drain.run()
        async with lifespan_of(registries):
            second = registries.current()
            assert second is not first
            admitted(second)
        assert registries.current() is second

    @pytest.mark.anyio
    async def test_a_new_one_counts_the_slots_that_are_still_taken(self) -> None:
        """A thread of a synchronous generator may hold one longer than its stream is open."""
        policy = Policy(drain=False, max_streams=2, max_streams_per_client=1)
        registries = Registries(policy)
        held = [admitted(registries.current(), client) for client in "ab"]
        for slot in held:
            slot.opened(OpenStream())
            slot.closed(CloseReason.DRAINED, None)
        await registries.current().drain.run()
        for _ in range(2):
            async with lifespan_of(registries):
                second = registries.current()
            await second.drain.run()
        async with lifespan_of(registries):
            second = registries.current()
            assert second.enter("c", None) is Full.STREAMS
            held[0].give_back()
            assert second.enter("b", None) is Full.CLIENT
            admitted(second, "a").give_back()
            held[1].give_back()
            admitted(second, "b")
            assert second.stats().open == 1

    @pytest.mark.anyio
    async def test_lifespans_at_the_same_time_share_one(self) -> None:
        registries = Registries(Policy(max_streams=1))
        async with lifespan_of(registries):
            admitted(registries.current()).give_back()
            async with lifespan_of(registries):
                slot = admitted(registries.current())
                slot.opened(stream := OpenStream())
                assert isinstance(registries.current().enter(None, None), Full)
            assert not registries.current().drain.begun.is_set()
            assert stream.delays == []
            slot.give_back()
            admitted(registries.current()).give_back()
        assert registries.current().drain.begun.is_set()

    @pytest.mark.anyio
    @pytest.mark.parametrize("error", [KeyError, RuntimeError])
    async def test_a_lifespan_that_fails_has_ended_too(self, error: type[Exception]) -> None:
        registries = Registries(Policy())

        async def fail(*_: Any) -> None:
            raise error

        async with lifespan_of(registries):
            with pytest.raises(error):
                await registries.run_lifespan(fail, {}, nothing, nothing)
        assert registries.current().drain.begun.is_set()

    @pytest.mark.anyio
    async def test_that_of_a_dropped_application_is_freed_before_its_event_loop(self) -> None:
        registries = Registries(Policy())
        registry = registries.current()
        assert registries.current() is registry
        kept = ref(registry)

        del registries, registry
        gc.collect()

        assert kept() is None
