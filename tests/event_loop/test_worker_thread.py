"""`WorkerThread`: it works, it parks, it goes on, and it ends when it is told to."""

import threading
from collections import deque
from functools import partial

import anyio
import pytest
from anyio import from_thread

from sse_middleware.event_loop.worker_thread import WorkerThread
from sse_middleware.testing import VirtualTime
from tests.patience import PATIENCE
from tests.testing.virtual_time.threads import compute

pytestmark = pytest.mark.anyio


async def until_parked(thread: WorkerThread) -> None:
    while not thread.parked:
        await thread.changed.wait()


async def test_it_parks_until_it_is_resumed() -> None:
    log: deque[object] = deque()

    def work(thread: WorkerThread) -> None:
        for step in range(3):
            log.append(step)
            log.append(thread.park())

    thread = WorkerThread(work, "worker")
    thread.resume()  # nothing is parked
    thread.start()
    for step in range(3):
        await until_parked(thread)
        assert log[-1] == step
        thread.resume()
        thread.resume()
    await thread.until_returned()
    assert list(log) == [0, True, 1, True, 2, True]


@pytest.mark.parametrize("parked", [True, False])
async def test_one_that_is_stopped_does_not_park(*, parked: bool) -> None:
    log: list[bool] = []
    stopped = threading.Event()

    def work(thread: WorkerThread) -> None:
        if not parked:
            stopped.wait()
        log.extend([thread.park(), thread.park()])

    thread = WorkerThread(work, "worker")
    thread.start()
    if parked:
        await until_parked(thread)
    thread.stop()
    thread.stop()
    stopped.set()
    await thread.until_returned()
    assert log == [False, False]
    assert not thread.parked


async def test_one_that_is_about_to_park_is_stopped() -> None:
    log: list[bool] = []
    thread = WorkerThread(lambda thread: log.append(thread.park()), "worker")
    thread.start()
    while thread._gate.locked() and not thread.parked:
        thread.stop()  # before the event loop has noted anything
    await thread.until_returned()
    assert log == [False]


async def test_callbacks_are_called_in_the_event_loop_once_it_has_returned() -> None:
    callers: list[threading.Thread] = []

    def note() -> None:
        callers.append(threading.current_thread())

    thread = WorkerThread(lambda _: None, "worker")
    thread.start()
    thread.when_returned(note)
    thread.when_returned(note)
    assert callers == []
    await thread.until_returned()
    thread.when_returned(note)
    assert callers == [threading.main_thread()] * 3


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_that_outlives_its_event_loop_does_not_park(backend: str) -> None:
    go_on, log = threading.Event(), list[bool]()

    def work(thread: WorkerThread) -> None:
        go_on.wait()
        thread.wake()
        log.append(thread.park())

    async def main() -> WorkerThread:
        thread = WorkerThread(work, "worker")
        thread.start()
        return thread

    thread = anyio.run(main, backend=backend)
    go_on.set()
    thread.join(PATIENCE)
    assert log == [False]


async def test_it_counts_as_busy_in_virtual_time_but_not_while_it_is_parked(
    virtual_time: VirtualTime,
) -> None:
    def work(thread: WorkerThread) -> None:
        thread.park()
        compute()

    thread = WorkerThread(work, "worker")
    thread.start()
    await until_parked(thread)
    await anyio.sleep(30)
    assert virtual_time.elapsed == 30
    thread.resume()
    with anyio.move_on_after(60) as scope:
        await thread.until_returned()
    assert not scope.cancelled_caught
    assert virtual_time.elapsed == 30


async def test_calls_from_it_come_back() -> None:
    log: list[str] = []

    def work(_thread: WorkerThread) -> None:
        from_thread.run(anyio.sleep, 1)
        from_thread.run_sync(partial(log.append, "called"))
        from_thread.check_cancelled()

    thread = WorkerThread(work, "worker")
    thread.start()
    await thread.until_returned()
    assert log == ["called"]
