"""The outbox between one producer and one writer."""

from collections.abc import Callable

import anyio
import pytest

from sse_middleware.stream import outbox as module
from sse_middleware.stream.abc import Ending
from sse_middleware.stream.outbox import Outbox
from sse_middleware.stream.queue import NoWriter
from sse_middleware.wire.encoding import FRAMING

pytestmark = pytest.mark.anyio


class Woken(NoWriter):
    """Tells that the writer was woken."""

    def __init__(self, tell: Callable[[], object]) -> None:
        self._tell = tell

    def wake(self) -> None:
        self._tell()


async def test_everything_is_taken_at_once() -> None:
    outbox = Outbox(100)
    assert outbox.take() == b""
    outbox.put(b"a")
    outbox.put(b"b")
    assert outbox.take() == b"ab"
    assert outbox.take() == b""


async def test_data_is_framed_when_it_is_taken_and_keeps_its_order() -> None:
    outbox = Outbox(100)
    for text in (b"1", b"2"):
        outbox.texts.append(text)
        outbox.size += len(text) + FRAMING
    outbox.put(b": c\n\n")
    outbox.texts.append(b"3")
    outbox.size += 1 + FRAMING
    whole = b"data: 1\n\ndata: 2\n\n: c\n\ndata: 3\n\n"
    assert outbox.size == len(whole)
    assert outbox.take() == whole
    assert outbox.size == 0
    assert outbox.take() == b""


async def test_it_is_full_at_its_bound() -> None:
    outbox = Outbox(10)
    assert [outbox.put(b"1234") for _ in range(4)] == [False, False, True, True]
    outbox.take()
    assert not outbox.put(b"1234")
    assert outbox.put(b"123456")


async def test_one_frame_over_the_bound_fills_it() -> None:
    assert Outbox(10).put(b"x" * 11)


async def test_it_is_full_after_a_time_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    outbox = Outbox(10**9)
    size = module.STRIDE
    assert not outbox.put(b"x" * size)
    assert not outbox.put(b"x" * size)
    now += 2 * module.TIME_SLICE
    assert outbox.put(b"x" * size), "the first frame has waited for a time slice"
    await taken_in_the_room(outbox)
    now += 2 * module.TIME_SLICE
    assert outbox.put(b"x"), "this frame took a time slice to come"
    await taken_in_the_room(outbox)
    assert not outbox.put(b"x")


async def test_silence_is_no_time_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    outbox = Outbox(10**9)
    for _ in range(3):
        now += 2 * module.TIME_SLICE
        assert not outbox.put(b"x"), "its producer has suspended by itself"
        outbox.take()


async def taken_in_the_room(outbox: Outbox) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.room)
        await anyio.wait_all_tasks_blocked()
        outbox.take()


async def test_it_is_full_if_the_second_frame_took_a_time_slice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    outbox = Outbox(10**9)
    assert not outbox.put(b"x")
    now += 2 * module.TIME_SLICE
    assert outbox.put(b"x")


async def test_silence_of_a_producer_whose_frames_wait_is_no_time_slice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    outbox = Outbox(10**9)
    for _ in range(3):
        now += 2 * module.TIME_SLICE
        assert not outbox.put(b"x" * module.STRIDE)
        outbox.rest()


async def test_what_may_wait_for_more_makes_room_for_nothing() -> None:
    outbox = Outbox(2)
    outbox.patient = True
    outbox.put(b"x")
    assert await outbox.room()
    assert outbox.put(b"x")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.room)
        await anyio.wait_all_tasks_blocked()
        assert outbox.in_room, "the bound is reached"
        outbox.take()


async def test_room_comes_when_the_writer_takes() -> None:
    outbox = Outbox(1)
    outbox.put(b"x")
    got = []

    async def producer() -> None:
        got.append(await outbox.room())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(producer)
        await anyio.wait_all_tasks_blocked()
        assert got == []
        outbox.take()
    assert got == [True]


async def test_there_is_room_in_an_empty_outbox() -> None:
    assert await Outbox(1).room()


async def test_the_first_frame_that_waits_wakes_the_writer() -> None:
    woken: list[bool] = []
    outbox = Outbox(100)
    outbox.writer = Woken(lambda: woken.append(outbox.raised))
    for _ in range(3):
        outbox.put(b"x")
    assert woken == [True]
    outbox.take()
    outbox.put(b"x")
    assert woken == [True] * 2


@pytest.mark.parametrize("stepwise", [True, False])
async def test_a_step_of_the_work_wakes_nobody_where_the_writer_runs_anyway(
    stepwise: bool,
) -> None:
    woken: list[int] = []
    outbox = Outbox(100, stepwise=stepwise)
    outbox.writer = Woken(lambda: woken.append(1))
    outbox.put_in_steps()
    outbox.put(b"x")
    assert outbox.raised
    assert len(woken) == (0 if stepwise else 1)
    outbox.close(Ending.COMPLETE)
    assert len(woken) == (1 if stepwise else 2), "an end may come from anywhere"


async def test_closing_wakes_both_sides() -> None:
    woken: list[int] = []
    outbox = Outbox(1)
    outbox.writer = Woken(lambda: woken.append(1))
    outbox.put(b"x")
    got = []

    async def producer() -> None:
        got.append(await outbox.room())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(producer)
        await anyio.wait_all_tasks_blocked()
        before = len(woken)
        outbox.close(Ending.COMPLETE)
    assert got == [False]
    assert (outbox.raised, len(woken) - before) == (True, 1)
    assert outbox.put(b"y")
    outbox.texts.append(b"z")
    outbox.size += 1 + FRAMING
    outbox.close(Ending.COMPLETE)
    assert outbox.take() == b"x", "what is put after the end is dropped"
    assert (outbox.take(), outbox.size, outbox.events) == (b"", 0, 1)
    assert not await outbox.room()


async def test_nobody_writes_what_is_abandoned() -> None:
    woken: list[int] = []
    outbox = Outbox(1)
    outbox.writer = Woken(lambda: woken.append(1))
    outbox.close(Ending.ABANDONED)
    assert (outbox.raised, woken) == (False, [])
