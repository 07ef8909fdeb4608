"""The timers, the runner and the callbacks of an asyncio loop in virtual time."""

import asyncio
import math
from functools import partial
from typing import Any

import pytest

from sse_middleware.testing.virtual_time.clock import VirtualTime
from tests.testing.virtual_time.threads import compute

HOUR = 3600


def test_timers_fire_in_order_at_their_time(asyncio_time: VirtualTime) -> None:
    seen: list[tuple[str, float]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(2, lambda: seen.append(("later", loop.time())))
        loop.call_at(loop.time() + 1, lambda: seen.append(("at", loop.time())))
        loop.call_later(1.5, lambda: seen.append(("never", loop.time()))).cancel()
        begin = loop.time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await asyncio.Event().wait()
        assert [(name, at - begin) for name, at in seen] == [("at", 1), ("later", 2)]

    asyncio_time.run(main)


def test_an_infinite_timer_can_be_cancelled(asyncio_time: VirtualTime) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        timer = loop.call_at(math.inf, pytest.fail)
        assert timer.when() == math.inf
        timer.cancel()
        assert timer.cancelled()
        await asyncio.sleep(1)

    asyncio_time.run(main)


@pytest.mark.parametrize("debug", [False, True])
def test_runs_in_a_runner(asyncio_time: VirtualTime, debug: bool) -> None:
    async def main() -> float:
        await asyncio.sleep(HOUR)
        await asyncio.to_thread(compute)
        return asyncio_time.elapsed

    factory = asyncio_time.backend_options["loop_factory"]
    with asyncio.Runner(debug=debug, loop_factory=factory) as runner:
        assert runner.get_loop().get_debug() is debug
        assert runner.run(main()) == HOUR


def test_the_exception_handler_gets_errors_of_callbacks(asyncio_time: VirtualTime) -> None:
    contexts: list[dict[str, Any]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: contexts.append(context))
        loop.call_soon(partial(int, "x"))
        await asyncio.sleep(1)

    asyncio_time.run(main)
    assert isinstance(contexts[0]["exception"], ValueError)
