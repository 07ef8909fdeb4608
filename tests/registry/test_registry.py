"""The registry of one event loop: what it tells observers, its lifespan, and others' registries."""

import gc
import threading
from collections.abc import Callable
from typing import Any
from weakref import ref

import anyio
import pytest

from sse_middleware import CloseReason
from sse_middleware.observers import (
    EventsSent,
    FirstEvent,
    PingSent,
    StreamClosed,
    StreamOpened,
    StreamRecord,
)
from sse_middleware.registry.registry import Registries, Registry
from sse_middleware.settings import Policy
from sse_middleware.testing import VirtualTime
from tests.registry.slots import INFO, OpenStream, admitted, registry_of


@pytest.mark.anyio
class TestObservers:
    async def test_all_get_the_records_in_order(self) -> None:
        records: list[list[StreamRecord]] = [[], []]
        registry = registry_of(observers=[one.append for one in records])
        registry.clock = iter((10.0, 12.5)).__next__
        slot = admitted(registry, "a", INFO)
        slot.opened(OpenStream())
        slot.tell(PingSent(INFO, 8))
        slot.tell(FirstEvent(INFO, slot.seconds(11.0)))
        slot.tell(EventsSent(INFO, 2, 20))
        error = KeyError()
        slot.closed(CloseReason.ERROR, error)
        assert records[0] == records[1]
        assert records[0] == [
            StreamOpened(INFO),
            PingSent(INFO, 8),
            FirstEvent(INFO, 1.0),
            EventsSent(INFO, 2, 20),
            StreamClosed(INFO, CloseReason.ERROR, 2, 20, 2.5, error),
        ]

    async def test_get_one_record_of_a_refusal(self) -> None:
        records: list[StreamRecord] = []
        registry = registry_of(max_streams=1, observers=[records.append])
        admitted(registry)
        registry.enter("a", INFO)
        assert records == [StreamClosed(INFO, CloseReason.REFUSED, 0, 0, 0.0)]

    async def test_get_no_counts_of_a_stream_that_never_opened(self) -> None:
        records: list[StreamRecord] = []
        registry = registry_of(observers=[records.append])
        registry.clock = float
        admitted(registry, "a", INFO).closed(CloseReason.ERROR, None)
        assert records == [StreamClosed(INFO, CloseReason.ERROR, 0, 0, 0.0)]

    async def test_that_fail_are_logged_and_do_not_affect_others(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(_: StreamRecord) -> None:
            raise KeyError("broken observer")

        records: list[StreamRecord] = []
        registry = registry_of(observers=[broken, records.append])
        registry.tell(StreamOpened(INFO))
        assert records == [StreamOpened(INFO)]
        assert "broken observer" in caplog.text


@pytest.mark.anyio
class TestLifespan:
    @pytest.mark.parametrize("drains", [True, False])
    async def test_its_shutdown_waits_until_the_streams_have_ended(self, drains: bool) -> None:
        registry = registry_of(drain=drains)
        slot, stream = admitted(registry), OpenStream()
        slot.opened(stream)
        received: list[str] = []

        async def receive() -> Any:
            return {"type": f"lifespan.{'shutdown' if received else 'startup'}"}

        receive_until_shutdown = registry.until_shutdown(receive)

        async def live() -> None:
            while "lifespan.shutdown" not in received:
                message = await receive_until_shutdown()
                received.append(message["type"])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(live)
            await anyio.wait_all_tasks_blocked()
            assert received == ["lifespan.startup"] + ["lifespan.shutdown"] * (not drains)
            assert stream.delays == [0] * drains
            slot.give_back()
        assert received == ["lifespan.startup", "lifespan.shutdown"]

    async def test_without_streams_its_shutdown_does_not_wait(self) -> None:
        registry = registry_of(drain=True)

        async def receive() -> Any:
            return {"type": "lifespan.shutdown"}

        with anyio.fail_after(1):
            assert await registry.until_shutdown(receive)() == {"type": "lifespan.shutdown"}


class TestRegistries:
    def test_each_event_loop_has_its_own(self) -> None:
        registries = Registries(Policy(drain=False))
        seen: list[Registry] = []

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
    async def test_a_new_lifespan_begins_with_a_new_one(self) -> None:
        registries = Registries(Policy(drain=False))
        first = registries.current()
        await first.drain.run()
        second = registries.renewed()
        assert registries.current() is second is not first
        admitted(second)

    @pytest.mark.anyio
    async def test_that_of_a_dropped_application_is_freed_before_its_event_loop(self) -> None:
        registries = Registries(Policy())
        registry = registries.current()
        assert registries.current() is registry
        kept = ref(registry)

        del registries, registry
        gc.collect()

        assert kept() is None
