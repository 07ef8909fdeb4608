"""The open streams of one application: admitted, counted, told to end."""

import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from sse_middleware import CloseReason, ConfigurationError, EventSourceResponse, SSEMiddleware
from sse_middleware.observers import (
    EventsSent,
    FirstEvent,
    PingSent,
    StreamClosed,
    StreamInfo,
    StreamOpened,
    StreamRecord,
)
from sse_middleware.registry.registry import Registries, Registry, Slot
from sse_middleware.registry.slots import Full
from sse_middleware.settings import Policy
from sse_middleware.testing import VirtualTime

INFO = StreamInfo("0" * 16, "GET", "/", None, "a")


class Open:
    """A stream as its registry sees it."""

    def __init__(self) -> None:
        self.delays: list[float] = []

    def drain(self, delay: float) -> None:
        self.delays.append(delay)

    def counts(self) -> tuple[int, int, int]:
        return 2, 20, 5


def admitted(registry: Registry, client: str | None = None) -> Slot:
    slot = registry.enter(client, None)
    assert isinstance(slot, Slot)
    return slot


def registry_of(**policy: Any) -> Registry:
    return Registry(Policy(drain=False, **policy))


def some_function(*_: object) -> None:
    """Do nothing."""


async def some_coroutine_function(*_: object) -> None:
    """Do nothing."""


class Asynchronous:
    """Looks like a function, and has to be awaited."""

    async def __call__(self, _: object) -> None:
        """Do nothing."""


class TestConfiguration:
    NO_FUNCTIONS: tuple[Any, ...] = (
        None,
        5,
        "key",
        b"",
        True,
        [],
        some_coroutine_function,
        Asynchronous(),
    )

    REFUSED: tuple[tuple[str, tuple[Any, ...]], ...] = (
        ("drain", (None, 0, 1, "yes", "", [])),
        ("drain_spread", (-1, -0.1, float("nan"), float("inf"), True, "5", None, 10**400)),
        ("max_streams", (0, -1, 1.0, True, False, "5", float("inf"), [5])),
        ("max_streams_per_client", (0, -1, 1.0, True, False, "5", float("inf"), [5])),
        ("client_key", NO_FUNCTIONS),
        ("observers", (None, 5, "abc", b"abc", print, some_function, {"a": print}, {print})),
        ("observers", tuple([some_function, one] for one in NO_FUNCTIONS)),
        ("observers", tuple((one,) for one in NO_FUNCTIONS)),
    )

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            pytest.param(name, value, id=f"{name}={value!r}"[:50])
            for name, values in REFUSED
            for value in values
        ],
    )
    def test_what_can_not_work_is_refused_by_name_and_value(self, name: str, value: Any) -> None:
        with pytest.raises(ConfigurationError) as caught:
            SSEMiddleware(EventSourceResponse([]), **{name: value})
        assert str(caught.value).startswith(f"{name} must ")
        assert repr(value) in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("drain", True),
            ("drain", False),
            ("drain_spread", 0),
            ("drain_spread", 3600.0),
            ("max_streams", None),
            ("max_streams", 1),
            ("max_streams_per_client", None),
            ("max_streams_per_client", 1),
            ("client_key", some_function),
            ("observers", ()),
            ("observers", [some_function]),
            ("observers", (some_function, [].append)),
        ],
    )
    def test_what_can_work_is_accepted(self, name: str, value: Any) -> None:
        SSEMiddleware(EventSourceResponse([]), **{name: value})

    def test_a_list_of_observers_may_change_afterwards(self) -> None:
        observers: list[Any] = [some_function]
        policy = Policy(observers=observers)
        observers.clear()
        assert policy.observers == (some_function,)


@pytest.mark.anyio
class TestAdmission:
    async def test_without_limits_everybody_is_admitted(self) -> None:
        registry = registry_of()
        slots = [admitted(registry, "a") for _ in range(1000)]
        assert registry.stats().open == 1000
        for slot in slots:
            slot.give_back()
        assert registry.stats().open == registry.stats().clients == 0

    async def test_of_many_streams(self) -> None:
        registry = registry_of(max_streams=2)
        first, _ = admitted(registry, "a"), admitted(registry)
        assert registry.enter("b", None) is Full.STREAMS
        first.give_back()
        admitted(registry, "b")
        assert registry.enter(None, None) is Full.STREAMS
        assert registry.stats().closed[CloseReason.REFUSED] == 2

    async def test_of_many_streams_of_one_client(self) -> None:
        registry = registry_of(max_streams_per_client=2)
        first, _ = admitted(registry, "a"), admitted(registry, "a")
        assert registry.enter("a", None) is Full.CLIENT
        for client in ("b", "b", None, None, None):
            admitted(registry, client)
        assert registry.stats().clients == 2
        first.give_back()
        admitted(registry, "a")
        assert registry.enter("a", None) is Full.CLIENT

    async def test_the_process_counts_before_the_client(self) -> None:
        registry = registry_of(max_streams=1, max_streams_per_client=1)
        admitted(registry, "a")
        assert registry.enter("a", None) is Full.STREAMS

    async def test_a_refused_client_is_not_counted(self) -> None:
        registry = registry_of(max_streams=1, max_streams_per_client=1)
        slot = admitted(registry, "a")
        for number in range(100):
            registry.enter(f"client{number}", None)
        assert registry.stats().clients == 1
        slot.give_back()
        assert not registry._slots._clients

    async def test_while_draining_nobody_is(self) -> None:
        registry = registry_of()
        registry.drain.begin()
        assert registry.enter("a", None) is Full.DRAINING
        assert registry.stats().draining


@pytest.mark.anyio
class TestDrain:
    async def test_ends_are_spread_evenly(self) -> None:
        registry = registry_of(drain_spread=10)
        streams = [Open() for _ in range(4)]
        for stream in streams:
            admitted(registry).opened(stream)
        registry.drain.begin()
        registry.drain.begin()
        assert [stream.delays for stream in streams] == [[0], [2.5], [5], [7.5]]

    async def test_reaches_a_stream_that_opens_after_it_has_begun(self) -> None:
        registry = registry_of(drain_spread=10)
        slot, stream = admitted(registry), Open()
        registry.drain.begin()
        assert stream.delays == []
        assert slot.stream is None
        slot.opened(stream)
        assert stream.delays == [0]
        assert slot.draining

    async def test_is_over_when_the_last_slot_is_given_back(self) -> None:
        registry = registry_of()
        slots = [admitted(registry) for _ in range(2)]
        done: list[int] = []

        async def drain(number: int) -> None:
            await registry.drain.run()
            done.append(number)

        async with anyio.create_task_group() as tasks:
            for number in range(2):
                tasks.start_soon(drain, number)
            for slot in slots:
                await anyio.wait_all_tasks_blocked()
                assert done == []
                slot.give_back()
        assert sorted(done) == [0, 1]
        await registry.drain.run()

    async def test_without_streams_is_over_at_once(self) -> None:
        registry = registry_of()
        with anyio.fail_after(1):
            await registry.drain.run()


@pytest.mark.anyio
class TestRecords:
    async def test_a_stream_that_is_closed_counts_on(self) -> None:
        registry = registry_of()
        slot = admitted(registry)
        slot.opened(Open())
        stats = registry.stats()
        assert (stats.opened, stats.events, stats.size, stats.waiting) == (1, 2, 20, 5)
        slot.closed(CloseReason.FINISHED, None)
        slot.give_back()
        stats = registry.stats()
        assert (stats.opened, stats.events, stats.size, stats.waiting) == (1, 2, 20, 0)
        assert {reason: n for reason, n in stats.closed.items() if n} == {CloseReason.FINISHED: 1}
        assert set(stats.closed) == set(CloseReason)

    async def test_are_told_in_order_to_every_observer(self) -> None:
        told: list[list[StreamRecord]] = [[], []]
        registry = registry_of(observers=[one.append for one in told])
        registry.clock = iter((10.0, 12.5)).__next__
        slot = registry.enter("a", INFO)
        assert isinstance(slot, Slot)
        slot.opened(Open())
        slot.tell(PingSent(INFO, 8))
        slot.tell(FirstEvent(INFO, slot.seconds(11.0)))
        slot.tell(EventsSent(INFO, 2, 20))
        error = KeyError()
        slot.closed(CloseReason.ERROR, error)
        assert told[0] == told[1]
        assert told[0] == [
            StreamOpened(INFO),
            PingSent(INFO, 8),
            FirstEvent(INFO, 1.0),
            EventsSent(INFO, 2, 20),
            StreamClosed(INFO, CloseReason.ERROR, 2, 20, 2.5, error),
        ]

    async def test_of_a_refusal_is_one(self) -> None:
        told: list[StreamRecord] = []
        registry = registry_of(max_streams=1, observers=[told.append])
        admitted(registry)
        registry.enter("a", INFO)
        assert told == [StreamClosed(INFO, CloseReason.REFUSED, 0, 0, 0.0)]

    async def test_of_one_that_never_opened_has_no_counts(self) -> None:
        told: list[StreamRecord] = []
        registry = registry_of(observers=[told.append])
        registry.clock = float
        slot = registry.enter("a", INFO)
        assert isinstance(slot, Slot)
        slot.closed(CloseReason.ERROR, None)
        assert told == [StreamClosed(INFO, CloseReason.ERROR, 0, 0, 0.0)]

    async def test_an_observer_that_fails_is_reported_and_keeps_nobody_else_from_it(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(_: StreamRecord) -> None:
            raise KeyError("broken observer")

        told: list[StreamRecord] = []
        registry = registry_of(observers=[broken, told.append])
        registry.tell(StreamOpened(INFO))
        assert told == [StreamOpened(INFO)]
        assert "broken observer" in caplog.text


@pytest.mark.anyio
class TestLifespan:
    @pytest.mark.parametrize("drains", [True, False])
    async def test_its_shutdown_waits_for_the_streams_to_end(self, drains: bool) -> None:
        registry = Registry(Policy(drain=drains))
        slot, stream = admitted(registry), Open()
        slot.opened(stream)
        said: list[str] = []

        async def receive() -> Any:
            return {"type": f"lifespan.{'shutdown' if said else 'startup'}"}

        received = registry.until_shutdown(receive)

        async def live() -> None:
            while "lifespan.shutdown" not in said:
                message = await received()
                said.append(message["type"])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(live)
            await anyio.wait_all_tasks_blocked()
            assert said == ["lifespan.startup"] + ["lifespan.shutdown"] * (not drains)
            assert stream.delays == [0] * drains
            slot.give_back()
        assert said == ["lifespan.startup", "lifespan.shutdown"]

    async def test_of_an_application_without_streams_ends_at_once(self) -> None:
        registry = Registry(Policy())

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

    def test_outside_of_an_event_loop_there_is_none(self) -> None:
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
    async def test_a_new_lifespan_begins_anew(self) -> None:
        registries = Registries(Policy(drain=False))
        first = registries.current()
        await first.drain.run()
        second = registries.renewed()
        assert registries.current() is second is not first
        admitted(second)
