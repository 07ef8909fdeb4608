"""uvicorn with an application, always on one port, which a test pauses, ends and starts again.

Several of them share a hub. Each has a port of its own, so a test decides which one it asks.
"""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from . import servers
from .client import HOST

if TYPE_CHECKING:
    import subprocess

SHARED_APP = "tests.e2e.hub_shared_app:app"
"""An application whose hub the environment chooses. See its module."""


class Worker:
    """A server.

    Args:
        app: its module and name, from the root of the repository.
        environment: variables, besides those of this process.
        output: a file for what it prints.
        processes: how many answer at its port.
    """

    def __init__(
        self, app: str, environment: Mapping[str, str], output: Path, processes: int = 1
    ) -> None:
        self.port = servers.free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.output = output
        several = ("--workers", str(processes)) if processes > 1 else ()
        command = ("uvicorn", app, "--host", HOST, "--port", "{port}", "--log-level", "warning")
        self._kind = servers.Kind("uvicorn", (*command, *several))
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The first of its processes."""
        assert self._process is not None
        return self._process

    def begin(self) -> None:
        """Start it, also again."""
        with self.output.open("ab") as file:
            self._process = servers.started(self._kind, self.port, file.fileno(), self._environment)

    def wait_until_it_accepts(self) -> None:
        servers.wait_until_it_accepts(self.process, self.port, self.output)

    def start(self) -> None:
        """Start it, also again. Returns when it listens."""
        self.begin()
        self.wait_until_it_accepts()

    def pause(self) -> None:
        """Let it do nothing until `resume`. Its connections stay."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End all of its processes at once. It may have ended, or never have been started."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self) -> None:
        """Have it end as a server ends that is told to."""
        servers.stop(self.process)


@contextmanager
def started(
    count: int, app: str, environment: Mapping[str, str], directory: Path
) -> Iterator[list[Worker]]:
    """Run workers as long as the block lasts, or until it ends them. They fail at nothing."""
    workers = [Worker(app, environment, directory / f"output{number}") for number in range(count)]
    try:
        for worker in workers:
            worker.begin()
        for worker in workers:
            worker.wait_until_it_accepts()
        yield workers
        for worker in workers:
            printed = worker.output.read_text()
            assert "Traceback" not in printed, printed
    finally:
        for worker in workers:
            worker.kill()
