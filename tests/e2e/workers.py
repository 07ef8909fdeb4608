"""Workers of one application. Each has a port of its own, so a test decides which one it asks."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .client import HOST
from .servers import free_port, wait_until_it_accepts

ROOT = Path(__file__).parents[2]


class Worker:
    """A process with an application.

    Args:
        app: its module and name, from the root of the repository.
        environment: variables, besides those of this process.
        output: a file for what it prints.
    """

    def __init__(self, app: str, environment: Mapping[str, str], output: Path) -> None:
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.output = output
        command = ("uvicorn", app, "--host", HOST, "--port", str(self.port))
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command, "--log-level", "warning"],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**os.environ, **environment},
                cwd=ROOT,
            )

    def wait_until_it_accepts(self) -> None:
        wait_until_it_accepts(self.process, self.port, self.output)

    def pause(self) -> None:
        """Let it do nothing until `resume`. Its connections stay."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()


@contextmanager
def started(
    count: int, app: str, environment: Mapping[str, str], directory: Path
) -> Iterator[list[Worker]]:
    """Run workers as long as the block lasts, or until it ends them. They fail at nothing."""
    workers: list[Worker] = []
    try:
        workers += (
            Worker(app, environment, directory / f"output{number}") for number in range(count)
        )
        for worker in workers:
            worker.wait_until_it_accepts()
        yield workers
        for worker in workers:
            printed = worker.output.read_text()
            assert "Traceback" not in printed, printed
    finally:
        for worker in workers:
            worker.kill()
