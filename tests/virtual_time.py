"""Time that passes only when everything waits: an hour of silence takes milliseconds.

On asyncio an event loop whose clock jumps to the next timer instead of sleeping, on trio its own
`MockClock`. Both are given through anyio's backend options, so nothing is patched.
"""

import asyncio
import selectors
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from trio.testing import MockClock


class _JumpingSelector(selectors.SelectSelector):
    """Moves the clock on where another selector would sleep."""

    def __init__(self, grace: float, advance: Callable[[float], None]) -> None:
        super().__init__()
        self._grace = grace
        self._advance = advance

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)  # nothing is due: only another thread can go on
        events = super().select(min(timeout, self._grace))
        if not events and timeout > 0:
            self._advance(timeout)
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop in which time is a number."""

    def __init__(self, grace: float = 0) -> None:
        self._now = 0.0
        super().__init__(_JumpingSelector(grace, self._pass))

    def time(self) -> float:
        return self._now

    def _pass(self, seconds: float) -> None:
        self._now += seconds


def backends(grace: float = 0) -> list[Any]:
    """Return anyio's backends with their options, both in virtual time.

    Args:
        grace: real seconds that other threads get before the clock jumps.
    """
    return [
        ("asyncio", {"loop_factory": partial(VirtualTimeLoop, grace)}),
        ("trio", {"clock": MockClock(autojump_threshold=grace)}),
    ]


IDS = ["asyncio", "trio"]

with_threads = pytest.mark.parametrize("anyio_backend", backends(grace=0.2), ids=IDS)
"""Marks tests in which a worker thread works: time must not jump meanwhile."""
