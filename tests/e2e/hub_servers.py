"""uvicorn with the application of hubs that are shared. It can be killed and started again."""

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .servers import Kind, free_port, started, stop, wait_until_it_accepts

if TYPE_CHECKING:
    import subprocess

HUB_APP = ("uvicorn", "hub_shared_app:app", "--port", "{port}", "--log-level", "warning")


class HubServer:
    """A server, always on the same port.

    Args:
        output: the file that takes what it prints.
        environment: variables that say where the hub is, as the application wants them.
        workers: how many processes it has.
    """

    def __init__(self, output: Path, environment: Mapping[str, str], workers: int = 1) -> None:
        self.port = free_port()
        self.output = output
        several = ("--workers", str(workers)) if workers > 1 else ()
        self._kind = Kind("uvicorn", (*HUB_APP, *several))
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, also again. Returns when it listens."""
        with self.output.open("ab") as file:
            self._process = started(self._kind, self.port, file.fileno(), self._environment)
        wait_until_it_accepts(self._process, self.port, self.output)

    def kill(self) -> None:
        """End it at once, with its workers."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self) -> None:
        """Have it end as a server ends that is told to."""
        if self._process is not None:
            stop(self._process)
