"""Worker processes with runs, their server, and clients that view the runs.

Rules of this file:
- Each public method of a few small numbers is something that may happen.
- In the end, all is well again. Then no client waits for what will never come, and each run that
  nobody produces has ended.
"""

import asyncio
import random
from contextlib import suppress

from sse_middleware.errors import HubError
from sse_middleware.hub.runs.log_writer import RENEWED
from sse_middleware.hub.runs.plan import LEASE
from tests.hub.simulation.audit import Chapter, RunServer
from tests.hub.simulation.client import Violation
from tests.hub.simulation.processes import Network
from tests.hub.simulation.run_client import RunClient
from tests.hub.simulation.run_process import CLEANUP, RUNS, RunProcess, Work

KEYS = tuple(RUNS)

CALM = 6.0
"""Seconds without a disturbance after which nothing waits to be tried again."""

NOTICED = 1
"""Seconds after the end of a lease in which viewers know that nobody produces their run."""

TRIES = 40
"""More requests than a client needs until it has everything."""


class RunsWorld:
    """Worker processes, their server and clients."""

    def __init__(self, seed: int = 0, processes: int = 3, clients: int = 4) -> None:
        self.random = random.Random(seed)
        self.network = Network()
        self.server = RunServer(self)
        self.works: list[Work] = []
        self.well_since = self.network.now
        self.stops: list[asyncio.Task[bool]] = []
        self.processes = [RunProcess(self) for _ in range(processes)]
        self.gone: list[RunProcess] = []
        self.clients = [RunClient(self) for _ in range(clients)]
        self.network.pass_time(0.01)

    def time(self) -> float:
        return self.network.now

    def note(self, server: object, topic: str, block: bytes) -> None:
        """Ignore what the server has acknowledged. It checks that itself."""

    def work(self, process: RunProcess, key: str) -> Work:
        work = Work(process, key, len(self.works))
        self.works.append(work)
        called = sum(one.key == key for one in self.works)
        if called > self.server.begun.get(key, 0):
            raise Violation("a factory was called more often than a run has begun")
        return work

    def settle(self) -> None:
        """Let what is ready happen, and the clients get what is on the wire."""
        self.network.pass_time(0.001)
        for client in self.clients:
            client.deliver()
        for at, process in enumerate(self.processes):
            if process.task.done():
                process.task.result()
                self._replace(at)
        self._check_stops()

    def _check_stops(self) -> None:
        for stop in self.stops:
            if stop.done():
                with suppress(HubError, ConnectionError):
                    stop.result()
        self.stops = [one for one in self.stops if not one.done()]

    def _replace(self, at: int) -> None:
        """Have another process in place of one that has ended."""
        self.gone.append(self.processes[at])
        if self.processes[at].loop in self.network.loops:
            self.network.loops.remove(self.processes[at].loop)
        self.processes[at] = RunProcess(self)

    def _process(self, at: int) -> RunProcess:
        return self.processes[at % len(self.processes)]

    def _disturb(self) -> None:
        self.well_since = self.network.now

    # What may happen.

    def attach(self, client: int, process: int, key: int) -> None:
        self._request(client, process, "attach", KEYS[key % len(KEYS)])

    def begin(self, client: int, process: int, key: int) -> None:
        self._request(client, process, "begin", KEYS[key % len(KEYS)])

    def restart(self, client: int, process: int, key: int) -> None:
        self._request(client, process, "restart", KEYS[key % len(KEYS)])

    def come_back(self, client: int, process: int, path: int) -> None:
        self._request(client, process, ("attach", "begin", "restart")[path % 3], None)

    def come_back_here(self, client: int, part: int) -> None:
        """Have a client drop, and come back to the same process."""
        one = self.clients[client % len(self.clients)]
        if one.exchange is not None and one.exchange.process in self.processes:
            process = self.processes.index(one.exchange.process)
            self.leave(client, part)
            self._request(client, process, "attach", None)

    def _request(self, client: int, process: int, path: str, key: str | None) -> None:
        chosen = self._process(process)
        one = self.clients[client % len(self.clients)]
        if chosen.is_open and (key or one.last_id):
            one.request(chosen, path, key)

    def leave(self, client: int, part: int) -> None:
        self.network.pass_time(0.001)
        self.clients[client % len(self.clients)].leave(part % 11 / 10)

    def read_slowly(self, client: int) -> None:
        exchange = self.clients[client % len(self.clients)].exchange
        if exchange is not None:
            exchange.slow = True

    def read_on(self, client: int) -> None:
        exchange = self.clients[client % len(self.clients)].exchange
        if exchange is not None:
            exchange.read()

    def emit(self, key: int, count: int, pause: int = 0) -> None:
        """Have all works of a key yield something."""
        for _ in range(count % 11):
            self._command(key, "yield", (0, 0, 0, 0.004, 0.3, 2)[pause % 6])

    def finish_work(self, key: int) -> None:
        self._command(key, "end")

    def fail_work(self, key: int) -> None:
        self._command(key, "fail")

    def _command(self, key: int, what: str, pause: float = 0) -> None:
        for work in self.works:
            if work.key == KEYS[key % len(KEYS)] and not work.ended and work.process.runs:
                work.command(what, pause)

    def stop(self, process: int, key: int) -> None:
        chosen = self._process(process)
        if chosen.is_open:
            self.stops.append(chosen.loop.start(chosen.stop(KEYS[key % len(KEYS)])))

    def stop_well(self, process: int, key: int) -> None:
        """Stop a run where nothing is disturbed. Then it ends soon."""
        before = self.server.chapter(KEYS[key % len(KEYS)])
        well = all(one.is_well for one in self.processes)
        if not well or before is None or self.network.now < self.well_since + CALM:
            return
        runs = before.end is None and before.until > self.server.now()
        stopped = self._process(process)
        task = stopped.loop.start(stopped.stop(KEYS[key % len(KEYS)]))
        self.network.pass_time(0.1)
        if task.result() and not runs:
            raise Violation("nothing ran, and it was said to stop")
        self.network.pass_time(RENEWED + CLEANUP + 0.1)
        after = self.server.chapter(KEYS[key % len(KEYS)])
        if after is not None and after.token == before.token and runs and after.end is None:
            held = after.until - self.server.now()
            if held > 0 or not task.result():
                raise Violation("what was to stop goes on")

    def crash(self, process: int) -> None:
        self._disturb()
        at = process % len(self.processes)
        self.processes[at].crash()
        self._replace(at)

    def pause(self, process: int) -> None:
        self._disturb()
        self._process(process).pause()

    def go_on(self, process: int) -> None:
        self._disturb()
        self._process(process).go_on()

    def close_process(self, process: int) -> None:
        """End a process as it should end. It is replaced when it has ended."""
        self._disturb()
        self._process(process).close()

    def wait(self, length: int) -> None:
        self.network.pass_time((0.01, 0.3, 1.5, 4, 7, 12)[length % 6])

    def delay(self, process: int, length: int) -> None:
        self._disturb()
        self._process(process).link.delay = (0, 0.01, 0.3, 3)[length % 4]

    def fail(self, process: int) -> None:
        self._disturb()
        link = self._process(process).link
        link.fails = not link.fails

    def stall(self, process: int) -> None:
        self._disturb()
        self._process(process).link.stalled = True

    def lose_answers(self, process: int, count: int) -> None:
        self._disturb()
        self._process(process).link.lost_answers = count % 4

    def be_silent(self, process: int, count: int) -> None:
        self._disturb()
        self._process(process).link.silent = count % 4

    def drop(self, process: int, count: int) -> None:
        """Lose the next messages to a listener."""
        self._disturb()
        self._process(process).link.drops = count % 4

    def break_listener(self, process: int) -> None:
        self._disturb()
        listener = self._process(process).link.listener
        if listener is not None:
            listener.cut()

    def restart_server(self, lost: int) -> None:
        """End the server, and start it again without its last writes."""
        self._disturb()
        self.server.lose(lost % 5)
        self.server.begin_anew()
        for listener in tuple(self.server.listeners):
            listener.cut()

    def flush(self) -> None:
        self._disturb()
        self.server.flush()

    def heal(self) -> None:
        self._disturb()
        for process in self.processes:
            process.go_on()
            process.link.heal()

    # What must hold.

    def finish(self) -> None:
        """Let all be well again. Then every run ends, and every client with it."""
        for at, process in enumerate(self.processes):
            if process.paused and self.random.random() < 0.5:
                self.crash(at)
        self.heal()
        for client in self.clients:
            if client.exchange is not None:
                client.exchange.read()
        self._let_come_back(LEASE + NOTICED)
        for key in KEYS:
            self._check_key(key)
        for work in self.works:
            if work.process.runs and not work.ended:
                work.end_soon()
        self._let_come_back(16)
        for client in self.clients:
            if client.key and not client.answer:
                raise Violation("a client waits for ever")

    def _let_come_back(self, seconds: float) -> None:
        """Let time pass. Clients come back as an ``EventSource`` does."""
        tries = dict.fromkeys(self.clients, 0)
        end = self.network.now + seconds
        while self.network.now < end:
            self.settle()
            for client in self.clients:
                if client.exchange is None and client.key and not client.answer:
                    tries[client] += 1
                    if tries[client] > TRIES:
                        raise Violation("a client comes back again and again")
                    process = self._process(self.random.randrange(len(self.processes)))
                    if process.is_open:
                        client.request(process, "attach")
            self.network.pass_time(0.5)
        self.settle()

    def _check_key(self, key: str) -> None:
        """Check that those who view a run have all of it, and that it runs."""
        chapter = self.server.chapter(key)
        viewers = [one for one in self.clients if one.key == key and one.exchange is not None]
        runs = chapter is not None and chapter.end is None
        if viewers and not runs:
            raise Violation(f"a client waits for ever for the run of {key}")
        for client in viewers:
            client.check_has_all()
        expected: str | None = None
        if chapter is not None and chapter.end is not None:
            expected = chapter.end
        elif chapter is not None:
            held = chapter.until > self.server.now()
            self._check_running(key, chapter, held=held, viewed=bool(viewers))
            expected = "running" if held else "aborted"
        self._check_state(key, expected)

    def _check_running(self, key: str, chapter: Chapter, *, held: bool, viewed: bool) -> None:
        for work in self.works:
            if held and work.number == chapter.work:
                self._check_produced(key, chapter, work)
        if viewed and self.server.now() > chapter.until + NOTICED * 10**6:
            raise Violation(f"nobody has ended the run of {key}")

    def _check_produced(self, key: str, chapter: Chapter, work: Work) -> None:
        """Check a run that is held."""
        if work.process.runs and work.ended is None:
            if self.server.asked.get(chapter.token) == self.server.losses:
                raise Violation(f"the run of {key} was to stop, and goes on")
        elif self.network.now > (work.ended or 0) + LEASE + NOTICED:
            raise Violation(f"nobody produces the run of {key}, and it is held")

    def _check_state(self, key: str, expected: str | None) -> None:
        process = self.processes[0]
        task = process.loop.start(process.state(key))
        self.network.pass_time(0.001)
        if task.result() != expected:
            raise Violation(f"the state of {key} is {expected}, and was said to be {task.result()}")

    def close(self) -> None:
        """End everything, whatever it does."""
        everyone = [*self.processes, *self.gone]
        loops = [process.loop for process in everyone]
        for process in everyone:
            process.link.heal()
            process.link.fails = True
        self.network.loops = loops
        for _ in range(20):
            tasks = [task for loop in loops for task in asyncio.all_tasks(loop)]
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            for loop in loops:
                loop.next = 0.0
            self.network.pass_time(1)
        for loop in loops:
            loop.start(loop.shutdown_asyncgens())
            loop.run_forever()
            loop.close()
