"""Virtual time: how it passes, and how it treats threads."""

import asyncio
import math
import sys
import threading
import time as real
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import anyio
import httpx
import pytest
from anyio import from_thread, to_thread
from anyio.from_thread import start_blocking_portal

from sse_middleware import EventSourceResponse
from sse_middleware.errors import ConfigurationError
from sse_middleware.testing.virtual_time.clock import VirtualTime
from tests.testing.portals import ON_PORTALS
from tests.testing.virtual_time.threads import compute

HOUR = 3600


class TestPassing:
    def test_an_hour_passes_in_no_time(self, time: VirtualTime) -> None:
        async def wait() -> str:
            for _ in range(240):
                await anyio.sleep(15)
            return "done"

        assert time.elapsed == 0
        assert time.run(wait) == "done"
        assert time.elapsed == HOUR

    def test_moves_to_each_deadline_in_turn(self, time: VirtualTime) -> None:
        seen = []

        async def wait(seconds: float) -> None:
            await anyio.sleep(seconds)
            seen.append((seconds, time.elapsed))

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                for seconds in (3, 0.1, 2, 1):
                    tasks.start_soon(wait, seconds)

        time.run(main)
        assert seen == [(0.1, 0.1), (1, 1), (2, 2), (3, 3)]

    def test_moves_on_for_days(self, time: VirtualTime) -> None:
        time.run(anyio.sleep, 30 * 24 * HOUR)
        assert time.elapsed == 30 * 24 * HOUR

    def test_moves_on_for_decades(self, time: VirtualTime) -> None:
        async def main() -> None:
            for seconds in (10**9, 15, HOUR):
                with anyio.fail_after(10**10):
                    await anyio.sleep(seconds)

        time.run(main)
        assert time.elapsed == 10**9 + 15 + HOUR

    def test_begins_again_with_each_run_and_never_at_zero(self, time: VirtualTime) -> None:
        async def main() -> tuple[float, float]:
            begin = anyio.current_time()
            await anyio.sleep(5)
            return begin, anyio.current_time() - begin

        first, second = time.run(main), time.run(main)
        assert first == second
        assert first[0] > 0
        assert first[1] == time.elapsed == 5

    def test_a_run_passes_arguments_and_errors(self, time: VirtualTime) -> None:
        async def main(one: int, two: int) -> None:
            raise KeyError(one, two)

        with pytest.raises(KeyError, match=r"\(1, 2\)"):
            time.run(main, 1, 2)

    def test_scopes_end_at_their_deadline(self, time: VirtualTime) -> None:
        async def main() -> None:
            with pytest.raises(TimeoutError), anyio.fail_after(10):
                await anyio.sleep_forever()
            assert time.elapsed == 10

        time.run(main)

    def test_a_deadline_that_has_passed_takes_no_time(self, time: VirtualTime) -> None:
        async def main() -> None:
            for seconds in (0, -1):
                with anyio.CancelScope() as scope:
                    scope.deadline = anyio.current_time() + seconds
                    await anyio.sleep_forever()
                assert scope.cancelled_caught

        time.run(main)
        assert time.elapsed == 0

    def test_does_not_pass_before_all_tasks_are_blocked(self, trio_time: VirtualTime) -> None:
        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.sleep, 10)
                await anyio.wait_all_tasks_blocked()
                assert trio_time.elapsed == 0
            assert trio_time.elapsed == 10

        trio_time.run(main)

    @pytest.mark.parametrize("backend", ON_PORTALS)
    def test_gives_options_for_each_way_to_run(self, backend: Any) -> None:
        time = VirtualTime(backend)

        async def main() -> float:
            await anyio.sleep(7)
            return time.elapsed

        name, options = time.anyio_backend
        assert name == time.backend
        assert anyio.run(main, backend=name, backend_options=options) == 7
        options.clear()
        with start_blocking_portal(time.backend, time.backend_options) as portal:
            assert portal.call(main) == 7


class TestThreads:
    def test_time_stands_still_while_a_worker_thread_computes(self, time: VirtualTime) -> None:
        async def main() -> None:
            for _ in range(5):
                with anyio.fail_after(0.001):
                    await to_thread.run_sync(compute)
            assert time.elapsed == 0
            await anyio.sleep(30)  # idle threads don't hold it up
            assert time.elapsed == 30

        time.run(main)

    def test_time_stands_still_while_an_executor_computes(self, asyncio_time: VirtualTime) -> None:
        async def main() -> None:
            async with asyncio.timeout(0.001):
                await asyncio.get_running_loop().run_in_executor(None, compute)
            assert asyncio_time.elapsed == 0

        asyncio_time.run(main)

    def test_time_stands_still_while_an_executor_shuts_down(
        self, asyncio_time: VirtualTime
    ) -> None:
        async def main() -> None:
            asyncio.get_running_loop().run_in_executor(None, compute).cancel()

        asyncio_time.run(main)
        assert asyncio_time.elapsed == 0

    def test_time_stands_still_while_an_abandoned_thread_computes(self, time: VirtualTime) -> None:
        seen = []

        async def main() -> None:
            begun = anyio.Event()

            def work() -> None:
                from_thread.run_sync(begun.set)
                compute()
                seen.append(time.elapsed)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(to_thread.run_sync, work, abandon_on_cancel=True))
                await begun.wait()
                tasks.cancel_scope.cancel()
            await anyio.sleep(10)
            assert seen == [0]

        time.run(main)

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_a_blocked_thread_is_waited_for_once(self, backend: Any) -> None:
        time = VirtualTime(backend, grace=0.05)

        async def main() -> None:
            go_on = threading.Event()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(to_thread.run_sync, go_on.wait))
                for _ in range(240):
                    await anyio.sleep(15)
                go_on.set()

        began = real.perf_counter()
        time.run(main)
        assert real.perf_counter() - began >= 0.05
        assert time.elapsed == HOUR

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_a_blocked_thread_that_calls_in_is_waited_for_again(self, backend: Any) -> None:
        time = VirtualTime(backend, grace=0.1)
        seen = []

        async def main() -> None:
            go_on = threading.Event()

            def work() -> None:
                go_on.wait()
                from_thread.run_sync(lambda: None)
                compute()
                seen.append(time.elapsed)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(to_thread.run_sync, work)
                await anyio.sleep(10)
                await anyio.sleep(10)
                await to_thread.run_sync(go_on.set)
                await anyio.sleep(10)

        time.run(main)
        assert seen == [20]

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_a_thread_is_waited_for_where_nothing_else_is_due(self, backend: Any) -> None:
        time = VirtualTime(backend, grace=0)

        async def main() -> None:
            timer = threading.Timer(0.15, lambda: None)  # longer than a look at the threads takes
            timer.start()
            await to_thread.run_sync(timer.join)

        time.run(main)
        assert time.elapsed == 0

    def test_a_synchronous_generator_gets_no_keep_alive_while_it_computes(
        self, time: VirtualTime
    ) -> None:
        def numbers() -> Iterator[int]:
            for number in range(3):
                compute()
                yield number

        async def main() -> str:
            app = EventSourceResponse(numbers(), ping_interval=0.001)
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
                return (await client.get("http://test/")).text

        assert time.run(main) == "data: 0\n\ndata: 1\n\ndata: 2\n\n"

    def test_an_hour_of_keep_alives_takes_no_time(self, time: VirtualTime) -> None:
        async def silence() -> AsyncIterator[int]:
            await anyio.sleep(HOUR + 1)
            yield 1

        async def main() -> str:
            app = EventSourceResponse(silence(), ping_interval=15, ping="ping")
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
                return (await client.get("http://test/", timeout=None)).text

        assert time.run(main).count(": ping") == 240


class TestConfiguration:
    def test_an_unknown_backend_is_named(self) -> None:
        backend: Any = "curio"
        with pytest.raises(ConfigurationError, match="'asyncio' or 'trio', got 'curio'"):
            VirtualTime(backend)

    @pytest.mark.parametrize("grace", [-1, math.inf, math.nan])
    def test_grace_is_a_duration(self, grace: float) -> None:
        with pytest.raises(ConfigurationError, match=f"grace must be .*, got {grace}"):
            VirtualTime(grace=grace)

    def test_trio_may_be_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "trio", None)
        with pytest.raises(ConfigurationError, match="needs trio"):
            VirtualTime("trio")
        VirtualTime("asyncio").run(anyio.sleep, 1)
