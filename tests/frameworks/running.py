"""One application in a process of its own, and the client that asks it.

Every wait is bounded: by the client's socket, or by `PATIENCE`.
"""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

import h11

from tests.e2e.client import HOST, NO_HEADERS, Http1Client
from tests.patience import PATIENCE


@dataclass(frozen=True)
class Running:
    """An application that is being served."""

    name: str
    port: int
    output: Path
    """What the server and the application wrote to stderr."""
    _process: subprocess.Popen[str]
    _told: "Queue[str]"

    def told(self) -> str:
        """Return the next line that the application tells."""
        return _next(self._told, self.output)

    def say(self, word: str) -> None:
        """Say a line to the application."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def wait_until_over(self, *, collect: bool = False) -> None:
        """Wait until the application is done with every request, and let it collect garbage."""
        with self.connect() as client:
            assert client.get("/over?collect" if collect else "/over").status == 204

    def connect(self, accept: str | None = None) -> "AcceptingClient":
        return AcceptingClient(self.port, accept)


class AcceptingClient(Http1Client):
    """A client with an ``Accept``, or with none."""

    def __init__(self, port: int, accept: str | None) -> None:
        super().__init__(port)
        self._accept = [] if accept is None else [("Accept", accept)]

    def begin(
        self, method: str, target: str, size: int = 0, headers: Mapping[str, str] = NO_HEADERS
    ) -> None:
        assert size == 0
        own = [("Host", HOST), ("Connection", "close"), *self._accept]
        self._send(h11.Request(method=method, target=target, headers=[*own, *headers.items()]))
        self._send(h11.EndOfMessage())

    def whole(self, target: str) -> tuple[list[bytes], bytes]:
        """Return the lines of the head but for its date, and the body as it is on the wire."""
        self.begin("GET", target)
        head, _, body = b"".join(iter(self._receive, b"")).partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        return [line for line in lines if not line.lower().startswith(b"date:")], body

    def read_until(self, marker: bytes) -> bytes:
        """Return the beginning of the body, up to a chunk that completes a marker."""
        body = b""
        while marker not in body:
            chunk = self.read()
            assert chunk, f"the body is complete without {marker!r}: {body!r}"
            body += chunk
        return body


@contextmanager
def running(name: str, where: str, output: Path) -> Iterator[Running]:
    """Serve an application as long as the block lasts."""
    command = [sys.executable, "-m", "tests.frameworks.serve", name, where]
    with output.open("wb") as errors, _started(command, errors.fileno()) as process:
        told: Queue[str] = Queue()
        reader = Thread(target=_read, args=(process, told))
        reader.start()
        try:
            yield Running(name, int(_next(told, output)), output, process, told)
            process.terminate()
            process.wait(PATIENCE)  # no test leaves a request open
        finally:
            process.kill()
            reader.join()


def _started(command: list[str], errors: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def _read(process: subprocess.Popen[str], told: "Queue[str]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        told.put(line.strip())


def _next(told: "Queue[str]", output: Path) -> str:
    try:
        return told.get(timeout=PATIENCE)
    except Empty:
        raise AssertionError(f"nothing told in {PATIENCE:g} s:\n{output.read_text()}") from None
