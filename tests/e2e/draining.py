"""The ways to run a server that is told to stop while streams are open.

Beside the servers' own commands, with one worker and with several, there are programs of users that
serve by themselves. Each test has a process of its own, and ends it.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from sse_middleware.wire.decoding import Decoded
from tests.patience import PATIENCE

from .client import HOST, Http1Client
from .servers import free_port, wait_until_it_accepts

HERE = Path(__file__).parent

LOOK = 0.02
"""Seconds between two looks at what can't be waited for: a file, or the state of a process."""


@dataclass(frozen=True)
class Way:
    """One way to run a server."""

    name: str
    command: tuple[str, ...]
    """What Python is started with; ``{port}`` and ``{other}`` are replaced by two ports."""
    needs: tuple[str, ...]
    """The modules that have to be there."""
    workers: int = 1
    """How many processes tell that they have started."""
    signals: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT)
    """What makes it stop and lets its requests end."""
    interrupts: bool = False
    """Whether SIGINT is raised as `KeyboardInterrupt` wherever the program is."""

    def missing(self) -> list[str]:
        return [module for module in self.needs if find_spec(module) is None]


def uvicorn(
    name: str,
    *arguments: str,
    needs: tuple[str, ...] = (),
    workers: int = 1,
    app: str = "drain_app:app",
) -> Way:
    command = ("-m", "uvicorn", app, "--host", HOST, "--port", "{port}")
    quiet = ("--log-level", "warning")
    return Way(name, (*command, *quiet, *arguments), ("uvicorn", *needs), workers)


def _gunicorn(worker: str, workers: int) -> Way:
    """Make a way with uvicorn's worker.

    With SIGINT it stops after 30 seconds also when there is nothing to wait for: it sends a signal
    to its workers by which that of uvicorn doesn't stop.
    """
    command = ("-m", "gunicorn", "drain_app:app", "-b", HOST + ":{port}", "-k", worker)
    return Way(
        f"gunicorn-{worker.partition('.')[0]}-w{workers}",
        # The worker that is uvicorn's own is deprecated, and says so.
        ("-W", "ignore::DeprecationWarning", *command, "-w", str(workers), "--log-level", "error"),
        ("gunicorn", worker.partition(".")[0]),
        workers,
        (signal.SIGTERM,),
    )


WAITS_LONG = ("--graceful-timeout", "60")


def _granian(workers: int, loop: str = "auto") -> Way:
    command = ("-m", "granian", "drain_app:app", "--interface", "asgi", "--host", HOST)
    options = ("--port", "{port}", "--workers", str(workers), "--loop", loop)
    return Way(f"granian-{loop}-w{workers}", (*command, *options), ("granian",), workers)


def _hypercorn(worker: str, workers: int, options: tuple[str, ...] = WAITS_LONG) -> Way:
    """Make a way to run hypercorn's command.

    Without workers, on trio, SIGTERM has no handler and ends the process. As a default it waits
    three seconds for its streams. Where it waits for longer, a test sees that it didn't need to.
    """
    command = ("-m", "hypercorn", "drain_app:app", "-b", HOST + ":{port}", "--log-level", "error")
    alone = worker == "trio" and workers == 0
    return Way(
        f"hypercorn-{worker}-w{workers}",
        (*command, "-k", worker, "-w", str(workers), *options),
        ("hypercorn", worker),
        max(workers, 1),
        (signal.SIGINT,) if alone else (signal.SIGTERM, signal.SIGINT),
        interrupts=alone,
    )


def program(
    name: str,
    *needs: str,
    workers: int = 1,
    signals: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT),
    interrupts: bool = False,
) -> Way:
    """Make a way to run a program of a user."""
    command = ("-m", "tests.e2e.drain_programs", name, "{port}", "{other}")
    needed = ("hypercorn", "uvicorn", *needs)
    return Way(name, command, needed, workers, signals, interrupts=interrupts)


DEFAULTS = [
    uvicorn("uvicorn"),
    _granian(1),
    _hypercorn("asyncio", 1, ()),
    Way(
        "daphne",
        ("-m", "daphne", "-b", HOST, "-p", "{port}", "-v", "0", "drain_app:app"),
        ("daphne",),
        workers=0,  # it has no lifespan
    ),
]
"""The servers as they are when nothing is set."""

OTHERS = [
    uvicorn("uvicorn-h11-asyncio", "--http", "h11", "--loop", "asyncio", needs=("h11",)),
    uvicorn("uvicorn-uvloop", "--loop", "uvloop", needs=("uvloop",)),
    uvicorn("uvicorn-w2", "--workers", "2", workers=2),
    uvicorn("uvicorn-two-applications", app="drain_app:two"),
    _gunicorn("uvicorn_worker.UvicornWorker", 2),
    _gunicorn("uvicorn.workers.UvicornWorker", 1),
    _granian(1, "asyncio"),
    _granian(2),
    *[_hypercorn("asyncio", workers) for workers in (0, 2)],
    *[_hypercorn("uvloop", workers) for workers in (0, 1)],
    *[_hypercorn("trio", workers) for workers in (0, 1, 2)],
    program("hypercorn-on-asyncio"),
    program("hypercorn-on-asyncio-with-trigger"),
    program("hypercorn-on-trio", "trio", signals=(signal.SIGINT,), interrupts=True),
    program("hypercorn-on-trio-with-trigger", "trio"),
]


MAX_REQUESTS = 11
"""Requests after which a server stops: one that asks whether it serves, and ten streams."""


def _stopping_by_requests(way: Way, option: str, number: int) -> Way:
    command = (*way.command, option, str(number))
    return replace(way, name=f"{way.name}-max-requests", command=command)


STOPPED_BY_REQUESTS = [
    # uvicorn counts responses that are complete, hypercorn requests that have begun.
    _stopping_by_requests(uvicorn("uvicorn"), "--limit-max-requests", 2),
    _stopping_by_requests(
        uvicorn("uvicorn-h11", "--http", "h11", "--loop", "asyncio"), "--limit-max-requests", 2
    ),
    _stopping_by_requests(_gunicorn("uvicorn_worker.UvicornWorker", 1), "--max-requests", 2),
    _stopping_by_requests(_gunicorn("uvicorn.workers.UvicornWorker", 1), "--max-requests", 2),
    _stopping_by_requests(_hypercorn("asyncio", 1), "--max-requests", MAX_REQUESTS),
    _stopping_by_requests(_hypercorn("trio", 1), "--max-requests", MAX_REQUESTS),
]
"""Servers that stop, or whose worker does, with one response more."""

RELOADED_BY_SIGHUP = [
    _gunicorn("uvicorn_worker.UvicornWorker", 1),
    _gunicorn("uvicorn.workers.UvicornWorker", 1),
    _granian(1),
    _hypercorn("asyncio", 1),
    uvicorn("uvicorn-w2", "--workers", "2", workers=2),
]
"""Servers that replace their workers when they get a SIGHUP."""


@dataclass(frozen=True)
class Served:
    """A running process, and what it has told."""

    way: Way
    process: subprocess.Popen[bytes]
    port: int
    other: int
    output: Path

    def told(self, line: str) -> int:
        """Return how often the application has told something."""
        return self.output.read_text(errors="replace").splitlines().count(line)

    def wait_until_told(self, line: str, times: int = 1) -> None:
        self._wait(lambda: self.told(line) >= times, f"told {line!r} {times} times")

    def say(self) -> None:
        """Write a line to its stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def get_ready(self, *, other: bool = False) -> None:
        """Wait until it serves, with all its workers."""
        port = self.other if other else self.port
        wait_until_it_accepts(self.process, port, self.output)
        with Http1Client(port) as client:
            client.get("/plain")
            client.body()

    def signal(self, number: signal.Signals) -> None:
        if self.way.interrupts and number == signal.SIGINT:
            self._wait(self._stands_still, "idle")
        self.process.send_signal(number)

    def exit_code(self, within: float = PATIENCE) -> int:
        """Wait until the process has ended by itself.

        Raises:
            AssertionError: it did not within this many seconds.
        """
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"runs after {within:g} s:\n{self.output.read_text()}") from None

    def _stands_still(self) -> bool:
        """Whether the process sleeps, and has done nothing between two looks."""
        before = self._work()
        time.sleep(LOOK)
        return self._work() == before

    def _work(self) -> list[str]:
        """Return the state of the process, and how often it has gone to sleep."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return [line for line in status.splitlines() if line.startswith(("State", "voluntary"))]

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"never {what}:\n{self.output.read_text()}"
            time.sleep(LOOK)


@contextmanager
def served(way: Way, output: Path) -> Iterator[Served]:
    """Run a server as long as the block lasts, or until it ends by itself."""
    port, other = free_port(), free_port()
    with output.open("wb") as file, _started(way, port, other, file.fileno()) as process:
        try:
            server = Served(way, process, port, other, output)
            server.get_ready()
            server.wait_until_told("started", way.workers)
            yield server
        finally:
            _kill(process)


def _started(way: Way, port: int, other: int, output: int) -> subprocess.Popen[bytes]:
    paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, *(part.format(port=port, other=other) for part in way.command)],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        cwd=HERE.parents[1],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"},
        start_new_session=True,  # so that its workers can be killed with it
    )


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and its workers, of which it may have left some."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class Stream:
    """A client that has read the first event."""

    def __init__(self, client: Http1Client, target: str) -> None:
        self._client = client
        client.get(target)
        self._events = client.events()
        self.first = next(self._events)

    def rest(self) -> list[Decoded]:
        """Return all else that comes.

        Raises:
            BrokenBodyError: the body has no end.
        """
        return list(self._events)

    def is_silent(self, seconds: float) -> bool:
        """Whether nothing comes for so long, no end either."""
        return not select.select([self._client._socket], [], [], seconds)[0]


@contextmanager
def streams(port: int, *targets: str) -> Iterator[list[Stream]]:
    """Open a stream for each target."""
    with ExitStack() as clients:
        yield [Stream(clients.enter_context(Http1Client(port)), target) for target in targets]
