"""A cancellation at every await point: nothing is left behind, wherever it strikes.

Each scenario is struck at each pass of the event loop, once in each way. Then it is struck, for
``FUZZ_SECONDS``, at two random passes in two random ways. ``FUZZ_SEED`` repeats a run.
"""

import asyncio
import os
import random
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from sse_middleware import CloseReason, SSEMiddleware
from sse_middleware.observers import Observer, StreamOpened, StreamRecord
from tests.fuzz.scenarios import SCENARIOS, Log, in_a_thread
from tests.served import ClosedStreams

pytestmark = pytest.mark.e2e

SECONDS = float(os.environ.get("FUZZ_SECONDS", "3"))
SEED = int(os.environ.get("FUZZ_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)

PASSES = 40
"""More than a request takes in any scenario that has no thread."""

SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/",
    "query_string": b"",
    "root_path": "",
    "headers": [(b"accept", b"text/event-stream"), (b"accept-encoding", b"gzip")],
}


class Request:
    """One request, and how it can be struck."""

    def __init__(self, make: Callable[[Log], Any]) -> None:
        self.log: Log = []
        self.opened = 0
        self.closed = ClosedStreams()
        observers: list[Observer] = [self.note, self.closed]
        self.app = SSEMiddleware(make(self.log), observers=observers, drain_grace=0)
        self.scope = anyio.CancelScope()
        self.gone = anyio.Event()
        self.task: Any = None
        self.drains: Any = None
        self.error: BaseException | None = None
        self.ended = False

    def note(self, record: StreamRecord) -> None:
        self.opened += isinstance(record, StreamOpened)

    async def receive(self) -> Any:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, _message: Any) -> None:
        await checkpoint()

    async def run(self) -> None:
        if self.asyncio_is_running():
            self.task = asyncio.current_task()
        try:
            with self.scope:
                await self.app(dict(SCOPE), self.receive, self.send)
        except BaseException as error:
            if not isinstance(error, anyio.get_cancelled_exc_class()):
                self.error = error
            raise
        finally:
            self.ended = True

    @staticmethod
    def asyncio_is_running() -> bool:
        return anyio.get_cancelled_exc_class() is asyncio.CancelledError

    def disconnect(self) -> None:
        self.gone.set()

    def cancel_scope(self) -> None:
        self.scope.cancel()

    def cancel_task(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def drain(self) -> None:
        self.drains.start_soon(self.app.drain)

    def check(self, strikes: set[str]) -> None:
        stats = self.app.stats()
        assert stats.open == 0
        assert stats.waiting == 0
        refused = self.closed.reasons.count(CloseReason.REFUSED)
        assert len(self.closed.records) == self.opened + refused
        assert self.error is None, repr(self.error)
        # One more cancellation on top of a cleanup is one more, and trio has rules of its own.
        if strikes <= {"disconnect", "drain"} and self.asyncio_is_running():
            assert self.log.count("begin") == self.log.count("end")


WAYS = ("disconnect", "cancel_scope", "cancel_task", "drain")


async def attempt(make: Callable[[Log], Any], strikes: list[tuple[int, str]]) -> Log:
    """Strike a request, and check what is left. Returns its log."""
    request = Request(make)
    async with anyio.create_task_group() as tasks:
        request.drains = tasks
        tasks.start_soon(run_to_its_end, request)
        passed = 0
        for at, way in sorted(strikes):
            while passed < at:
                await checkpoint()
                passed += 1
            getattr(request, way)()
        request.disconnect()
    request.check({way for _, way in strikes})
    if request.asyncio_is_running():
        left = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
        assert not left, left
    return request.log


async def passes_of(make: Callable[[Log], Any]) -> int:
    """Return how many passes of the event loop a request takes that nothing strikes."""
    passed = 0
    request = Request(make)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_to_its_end, request)
        while not request.ended:
            await checkpoint()
            passed += 1
    request.check(set())
    assert request.closed.reasons == [CloseReason.FINISHED]
    assert request.log == ["begin", "end"]
    return passed


async def run_to_its_end(request: Request) -> None:
    if not request.asyncio_is_running():
        await request.run()
        return
    task = asyncio.ensure_future(request.run())
    await asyncio.wait([task])
    if not task.cancelled() and task.exception() is not None:
        raise task.exception() or AssertionError


async def everywhere(make: Callable[[Log], Any]) -> None:
    assert await passes_of(make) < PASSES or make is in_a_thread
    for way in WAYS:
        entered = 0
        for at in range(PASSES):
            log = await attempt(make, [(at, way)])
            entered += "begin" in log
            await attempt(make, [(at, way), (at + 1, "cancel_task"), (at + 2, "disconnect")])
        assert entered


async def at_random() -> None:
    chosen = random.Random(SEED)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        strikes = [(chosen.randrange(PASSES), chosen.choice(WAYS)) for _ in range(2)]
        await attempt(chosen.choice(SCENARIOS), strikes)


async def eagerly(function: Callable[[], Any]) -> None:
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
    await function()


def run(kind: str, function: Callable[[], Any]) -> None:
    match kind:
        case "asyncio":
            anyio.run(function)
        case "uvloop":
            pytest.importorskip("uvloop")
            anyio.run(function, backend_options={"use_uvloop": True})
        case "eager":
            if sys.version_info < (3, 12):
                pytest.skip("eager tasks came with Python 3.12")
            anyio.run(eagerly, function)
        case _:
            anyio.run(function, backend="trio")


LOOPS = ("asyncio", "uvloop", "eager", "trio")


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", LOOPS)
@pytest.mark.parametrize("make", SCENARIOS)
def test_at_each_await_point(kind: str, make: Callable[[Log], Any]) -> None:
    run(kind, partial(everywhere, make))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", LOOPS)
def test_at_random(kind: str) -> None:
    print(f"FUZZ_SEED={SEED}")  # noqa: T201 - shown where it fails
    run(kind, at_random)
