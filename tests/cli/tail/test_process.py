"""Signals, readers that go, and the time limit, in a real event loop of this process."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

import anyio
import pytest

from sse_middleware.cli.tail.descriptor import Descriptor
from sse_middleware.cli.tail.ending import Ending
from sse_middleware.cli.tail.process import die_of, run_session
from tests.cli.tail.following import Scene, answer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes differ there")

EVENT = b"data: 1\n\n"


class Run:
    """A session whose output is a pipe. `at_event` is called after each event is printed."""

    def __init__(self, at_event: Callable[["Run"], object] = lambda _run: None) -> None:
        self.reader, self._writer = os.pipe()
        self._at_event = at_event

    def __call__(
        self, *steps: bytes | float, seconds: float | None = None
    ) -> tuple[Ending, int | None]:
        try:
            return anyio.run(self._main, steps, seconds)
        finally:
            with suppress(OSError):  # a test may have closed it
                os.close(self.reader)

    async def _main(
        self, steps: tuple[bytes | float, ...], seconds: float | None
    ) -> tuple[Ending, int | None]:
        with os.fdopen(self._writer, "wb", buffering=0) as file:
            self._descriptor = Descriptor(file)
            async with Scene().session(self, answer(*steps), answer(status=204)) as session:
                return await run_session(session, self._descriptor, seconds)

    async def write(self, data: bytes) -> None:
        await self._descriptor.write(data)
        self._at_event(self)


def test_it_runs_to_its_end() -> None:
    assert Run()(b"retry: 0\n\n") == (Ending.ENDED, None)


def test_the_time_is_limited() -> None:
    assert Run()(EVENT, 100.0, seconds=0.01) == (Ending.TIMED_OUT, None)


def test_the_time_is_limited_while_nobody_reads() -> None:
    assert Run()(EVENT * 100_000, seconds=0.1) == (Ending.TIMED_OUT, None)


def test_a_reader_that_goes_ends_it_at_once() -> None:
    assert Run(lambda run: os.close(run.reader))(EVENT, 100.0) == (Ending.ENDED, None)


def test_a_reader_that_has_gone_ends_it_with_the_next_event() -> None:
    run = Run()
    os.close(run.reader)
    assert run(EVENT, 100.0) == (Ending.ENDED, None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_the_handlers_are_as_before(number: signal.Signals) -> None:
    before = {
        one: signal.signal(one, signal.default_int_handler)
        for one in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        run = Run(lambda _run: signal.raise_signal(number))
        assert run(EVENT, 100.0) == (Ending.TIMED_OUT, number)
        assert signal.getsignal(number) is signal.SIG_DFL  # a second one kills
        after = {one: signal.getsignal(one) for one in before if one != number}
        assert set(after.values()) == {signal.default_int_handler}
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        run = Run(lambda _run: signal.raise_signal(signal.SIGINT))
        assert run(EVENT, b"retry: 0\n\n") == (Ending.ENDED, None)
    finally:
        signal.signal(signal.SIGINT, before)


def test_it_dies_of_the_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[int] = []
    monkeypatch.setattr(signal, "raise_signal", raised.append)
    before = signal.getsignal(signal.SIGINT)
    try:
        assert die_of(signal.SIGINT) == 130
        assert (raised, signal.getsignal(signal.SIGINT)) == ([signal.SIGINT], signal.SIG_DFL)
    finally:
        signal.signal(signal.SIGINT, before)
