"""Processes that share a clock, and the network between them and their server.

Rules of this file:
- Each process has an event loop of its own. It runs until it would sleep. Then time moves.
- A process that is paused does nothing, while time goes on. When it is resumed, all its timers that
  are due fire, and all that has come is there.
- A process that has crashed does nothing any more. Nobody is told.
- What is on the network goes on, whatever becomes of the process that sent it.
"""

import asyncio
import heapq
import math
import selectors
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

from sse_middleware.hub.runs.runs import STOPS
from tests.hub.simulation.client import Violation
from tests.hub.simulation.server import Server
from tests.hub.simulation.store import AnswerT, Link, SimulatedListener

START = 1000.0

PASSES = 20_000
"""More passes than a process needs at one moment."""


class _Selector(selectors.SelectSelector):
    """Has the loop stop where another selector would sleep."""

    def __init__(self, loop: "ProcessLoop") -> None:
        super().__init__()
        self._loop = loop
        self._passes = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            self._passes += 1
            if self._passes > PASSES:
                raise Violation("a process never rests")
        else:
            self._passes = 0
            self._loop.next = math.inf if timeout is None else self._loop.time() + timeout
            self._loop.stop()
        return []


class ProcessLoop(asyncio.SelectorEventLoop):
    """The event loop of one process."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._seconds = clock
        self.next = 0.0
        """When it must run again."""
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self._seconds()

    def post(self, function: Callable[..., object], *values: Any) -> None:
        """Have a function called by the process, from outside."""
        self.call_soon(function, *values)
        self.next = 0.0

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Have a task run in the process, from outside."""
        task = self.create_task(work)
        self.next = 0.0
        return task


class Network:
    """What is on its way, and the clock."""

    def __init__(self) -> None:
        self.now = START
        self.loops: list[ProcessLoop] = []
        """Those that run."""
        self._waiting: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()

    def time(self) -> float:
        return self.now

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        heapq.heappush(self._waiting, (self.now + seconds, next(self._order), function))

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            self._run_ready()
            soonest = min((loop.next for loop in self.loops), default=math.inf)
            if self._waiting:
                soonest = min(soonest, self._waiting[0][0])
            if soonest > end:
                self.now = end
                return
            self.now = max(self.now, soonest)

    def _run_ready(self) -> None:
        """Let all happen that can happen now."""
        ran = True
        while ran:
            ran = False
            while self._waiting and self._waiting[0][0] <= self.now:
                heapq.heappop(self._waiting)[2]()
                ran = True
            for loop in tuple(self.loops):
                if loop.next <= self.now and loop in self.loops:
                    loop.run_forever()
                    ran = True


class RemoteLink(Link):
    """A link on which a request goes on if its process doesn't."""

    def __init__(self, world: Any, network: Network, server: Server, loop: ProcessLoop) -> None:
        super().__init__(world, server, loop)
        self.process = loop
        self.network = network
        self.lost_answers = 0
        """How many of the next answers are lost. The connection breaks."""
        self.silent = 0
        """How many of the next requests get no answer at all."""
        self._hole: tuple[object, object] = None, None
        """Which listener has lost a message, and of which topic."""
        self._held: list[Callable[[], object]] = []

    async def call(self, work: Callable[[Server], AnswerT]) -> AnswerT:
        if self.fails:
            raise ConnectionError("the link is down")
        answer: asyncio.Future[AnswerT] = self.process.create_future()
        self._send(lambda: self._arrive(work, answer))
        return await answer

    publish = call

    def _send(self, deliver: Callable[[], object]) -> None:
        """Bring something to the other side."""
        if self.stalled:
            self._held.append(deliver)
        else:
            self.network.later(self.delay * self.world.random.random(), deliver)

    def _arrive(self, work: Callable[[Server], AnswerT], answer: "asyncio.Future[AnswerT]") -> None:
        """Have the server do what was asked for."""
        if self.fails:
            self.process.post(_fail, answer, ConnectionError("the link is down"))
            return
        silent, self.silent = self.silent > 0, max(0, self.silent - 1)
        lost, self.lost_answers = self.lost_answers > 0, max(0, self.lost_answers - 1)
        try:
            value = work(self.server)
        except Violation:
            raise
        except Exception as error:
            refusal = error
            self._send(lambda: self.process.post(_fail, answer, refusal))
            return
        if lost:
            self._send(lambda: self.process.post(_fail, answer, ConnectionError("cut")))
        elif not silent:
            self._send(lambda: self.process.post(_answer, answer, value))

    def loses(self, listener: SimulatedListener, message: Any) -> bool:
        """Lose messages of runs only where the next one shows the hole, or the connection breaks.

        A message that says what is to be stopped may be lost at any time.
        """
        topic = message[1] if message[0] == "event" else None
        (holed, hole), self._hole = self._hole, (None, None)
        if holed is listener and hole != topic:
            listener.cut()
            return True
        if not isinstance(topic, str) or holed is listener or not self.drops:
            return False
        self.drops -= 1
        if topic != STOPS:
            self._hole = listener, topic
        return True

    def bring(self, deliver: Callable[[], object]) -> None:
        delay = self.delay * self.world.random.random()
        self.network.later(delay, lambda: self.process.post(deliver))

    def call_back(self, function: Callable[[], object]) -> None:
        self.process.post(function)

    def heal(self) -> None:
        self.fails = self.stalled = False
        self.delay = 0
        self.lost_answers = self.silent = self.drops = 0
        held, self._held = self._held, []
        for deliver in held:
            self._send(deliver)
        if self.listener is not None:
            self.process.post(self.listener.deliver_all)

    def die(self) -> None:
        """Be the link of a process that has crashed."""
        self.fails = True
        for listener in tuple(self.server.listeners):
            if isinstance(listener, SimulatedListener) and listener.link is self:
                self.server.listeners.remove(listener)


def _answer(answer: "asyncio.Future[Any]", value: object) -> None:
    if not answer.done():
        answer.set_result(value)


def _fail(answer: "asyncio.Future[Any]", error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
