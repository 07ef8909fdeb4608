"""A function is called when the event loop ends, as long as somebody keeps the `LoopEnd`."""

import asyncio
import gc

import anyio
import anyio.lowlevel
import pytest

from sse_middleware.event_loop.loop_end import LoopEnd

each_backend = pytest.mark.parametrize("backend", ["asyncio", "trio"])


class TestLoopEnd:
    @each_backend
    def test_calls_back_at_the_end_of_the_loop(
        self, backend: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        told: list[str] = []

        async def run() -> LoopEnd:
            loop_end = LoopEnd(lambda: told.append("loop"))
            await anyio.lowlevel.checkpoint()
            told.append("task")
            return loop_end

        assert isinstance(anyio.run(run, backend=backend), LoopEnd)
        assert told == ["task", "loop"]
        assert not caplog.text

    @each_backend
    def test_does_not_once_it_is_dropped(self, backend: str) -> None:
        told: list[str] = []

        async def run() -> None:
            LoopEnd(lambda: told.append("loop"))
            gc.collect()

        anyio.run(run, backend=backend)
        assert told == []

    def test_may_be_made_without_a_loop(self) -> None:
        told: list[str] = []
        loop_end = LoopEnd(lambda: told.append("loop"))
        asyncio.run(asyncio.sleep(0))
        assert told == []
        del loop_end
