"""The servers under test: how to start each of them, and what it can't do."""

import atexit
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.patience import PATIENCE

from .client import HOST, Client, Http1Client, Http2Client

STARTING = 50.0
"""Seconds that a server has until it accepts connections. Some import half a framework, in several
processes. It is most of what pytest lets a test take."""

STOPPING = PATIENCE
"""Seconds that a server has to end once it was told to: no test leaves a stream open."""

TURNS = 5
"""Equal answers in a row after which no message is still on its way."""

NO_VARIABLES: Mapping[str, str] = MappingProxyType({})

WHOLE_LIFE = ["started", "closed", "ended"]
"""The journal of a stream whose generator was entered and left, and whose request is over."""


@dataclass(frozen=True)
class Kind:
    """One way to run one server."""

    name: str
    command: tuple[str, ...]
    """A module and its arguments; ``{port}`` is replaced by the port."""
    needs: tuple[str, ...] = ()
    """Modules, besides that of the command."""
    http2: bool = False
    """Whether the client speaks HTTP/2 from the first byte on."""
    waits_for_body: bool = False
    """Whether it calls the application only when the request's body has arrived."""
    denial: bool = True
    """Whether it offers the extension ``websocket.http.response``."""
    backpressure: bool = True
    """Whether `send` ever waits for a client that doesn't read."""
    delivers_after_fin: bool = False
    """Whether a request that is blocked in `send` stays so after FIN, until the client has read."""
    cancels_sends: bool = True
    """Whether a request that is blocked in `send` can be cancelled there."""
    breaks_off: bool = True
    """Whether it ends the connection of an application that failed after the status line."""
    breaks_off_with: tuple[str, ...] = ()
    """Arguments with which it does so."""

    def missing(self) -> list[str]:
        modules = (self.command[0], *self.needs)
        return [module for module in modules if find_spec(module) is None]


def _uvicorn(http: str, loop: str) -> Kind:
    return Kind(
        f"uvicorn-{http}-{loop}",
        (
            *("uvicorn", "app:app", "--host", HOST, "--port", "{port}", "--log-level", "warning"),
            *("--http", http, "--loop", loop, "--ws", "wsproto"),
        ),
        needs=(http, loop, "wsproto"),
        delivers_after_fin=True,  # the loop's transport reports FIN after what it holds
    )


def _hypercorn(worker: str, *, http2: bool) -> Kind:
    # No workers: the server runs in the process that was started, as the others do. Its time for
    # an idle connection runs also while a new one waits for a busy machine. On HTTP/2 it doesn't
    # reset the stream of an application that failed: the connection has to time out.
    return Kind(
        f"hypercorn-{worker}-{'h2' if http2 else 'h1'}",
        (
            *("hypercorn", "app:app", "-b", HOST + ":{port}", "-w", "0", "-k", worker),
            *("--keep-alive", "60", "--log-level", "warning"),
        ),
        needs=(worker, "h2"),
        http2=http2,
        # On HTTP/2, its buffer lets go of the application when the window is used up. On trio the
        # socket is full before that, if the client has a small buffer.
        backpressure=worker == "trio" or not http2,
        delivers_after_fin=worker == "trio" and not http2,
        cancels_sends=worker != "trio",  # it shields them
        breaks_off_with=("--keep-alive", "1") if http2 else (),
    )


_GRANIAN = Kind(
    "granian",
    (
        *("granian", "app:app", "--host", HOST, "--port", "{port}"),
        *("--interface", "asgi", "--workers", "1", "--log-level", "warning"),
    ),
)

_DAPHNE = Kind(
    "daphne",
    ("daphne", "-b", HOST, "-p", "{port}", "-v", "0", "app:app"),
    waits_for_body=True,
    denial=False,
    backpressure=False,  # it buffers whatever the application sends
    breaks_off=False,  # it tries to answer 500, fails at that, and lets the connection hang
)

KINDS = [
    *[_uvicorn(http, loop) for http in ("h11", "httptools") for loop in ("asyncio", "uvloop")],
    *[_hypercorn(worker, http2=http2) for worker in ("asyncio", "trio") for http2 in (False, True)],
    _GRANIAN,
    _DAPHNE,
]


@dataclass(frozen=True)
class Server:
    """A running server."""

    kind: Kind
    port: int
    output: Path
    """The file that takes what it prints."""

    def connect(self, *, small_buffer: bool = False) -> Client:
        client = Http2Client if self.kind.http2 else Http1Client
        return client(self.port, small_buffer=small_buffer)

    def journal(self, name: str, count: int) -> list[str]:
        """Return what happened under a name, once there are this many entries."""
        entries: list[str] = self._ask(f"/journal/{name}?count={count}")
        return entries

    def settled(self, name: str) -> dict[str, Any]:
        """Return how many streams are open, which are to be none, and both journals of a name."""
        answer: dict[str, Any] = self._ask(f"/settled/{name}")
        return answer

    def is_stalled(self, name: str) -> bool:
        """Wait until the generator of that name is blocked because its client doesn't read.

        A `send` for which there is room is over before the server has answered a few requests more,
        since each takes several turns of whatever loop there is. If the client has a small buffer,
        no room comes up by itself: the little that the kernel may still move makes none.

        Where the server writes in a thread of its own, as granian does, that thread has had as many
        turns, and nothing proves that it needed no more.
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            number = self._held_up_by(name)
            if number and all(self._held_up_by(name) == number for _ in range(TURNS)):
                return True
        return False

    def _held_up_by(self, name: str) -> int | None:
        number: int | None = self._ask(f"/held-up/{name}")
        return number

    def release(self, name: str) -> None:
        """Let the generator of that name go on."""
        self._ask(f"/release/{name}")

    def read(self, name: str) -> None:
        """Tell the generator of that name that one thing more has been read."""
        self._ask(f"/read/{name}")

    def _ask(self, target: str) -> Any:
        with Http1Client(self.port) as client:
            client.get(target)
            return client.json()


@contextmanager
def running(kind: Kind, output: Path) -> Iterator[Server]:
    """Run a server as long as the block lasts."""
    port = free_port()
    with output.open("wb") as file, started(kind, port, file.fileno()) as process:
        try:
            wait_until_it_accepts(process, port, output)
            yield Server(kind, port, output)
        finally:
            stop(process)


_ports = cycle(random.sample(range(12_000, 22_000), 10_000))
"""Each comes once before any comes again: a server may not use the one that it was given yet."""

_claims = ExitStack()
"""A UDP socket at each port that was given away, so that no other run of tests gets the same."""

atexit.register(_claims.close)


def free_port() -> int:
    """Return a port below those that connections take by themselves, so that it stays free.

    So is the port that a server of a Redis cluster opens 10,000 above it.
    """
    while True:
        port, claim = next(_ports), socket.socket(type=socket.SOCK_DGRAM)
        with suppress(OSError), socket.socket() as probe:
            claim.bind((HOST, port))
            probe.bind((HOST, port))
            _claims.enter_context(claim)
            return port
        claim.close()


def started(
    kind: Kind, port: int, output: int, environment: Mapping[str, str] = NO_VARIABLES
) -> subprocess.Popen[bytes]:
    """Start a server. Its output goes to a file."""
    here = str(Path(__file__).parent)
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-m", *(part.format(port=port) for part in kind.command)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env={
            **os.environ,
            **environment,
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUNBUFFERED": "1",
        },
        start_new_session=True,  # so that its workers can be killed with it
    )


def wait_until_it_accepts(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    """Wait until a server listens. Raises if it ends, or takes too long."""
    if not accepts(process, port):
        raise RuntimeError(f"the server did not start:\n{output.read_text()}")


def accepts(process: "subprocess.Popen[Any]", port: int) -> bool:
    """Wait until a server listens. Returns whether it does: it may end, or take too long."""
    deadline = time.monotonic() + STARTING
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return True
        except OSError:
            time.sleep(0.02)  # until the next attempt; nothing tells when a foreign process listens
    return False


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server. Raises if that takes too long."""
    process.terminate()
    try:
        process.wait(STOPPING)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
