"""The chat as a server of its own, and a model for it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .test_app import free_port, wait_for

STOPPING = 15.0
"""Seconds that the server has to end."""


@dataclass(frozen=True)
class Chat:
    """A chat that is served."""

    url: str
    output: Path
    """The file that takes what its workers print."""

    def endings(self) -> int:
        """Return how many answers of the simulated model have ended."""
        return self.output.read_text().count("the simulated model has ended")


@contextmanager
def chatting(directory: Path, **variables: str) -> Iterator[Chat]:
    """Serve the chat, with a hub in a directory, for as long as the block lasts."""
    port = free_port()
    command = [sys.executable, "-m", "examples.chat", "--port", str(port)]
    environment = {**os.environ, "HUB_URL": f"sqlite:///{directory}/chat.db", **variables}
    output = directory / "output"
    with (
        output.open("ab") as file,
        subprocess.Popen(
            command,
            stdout=file,
            stderr=file,
            env=environment,
            text=True,
            start_new_session=True,  # so that its workers can be killed with it
        ) as process,
    ):
        try:
            yield Chat(wait_for(port, process), output)
        finally:
            _stop(process)


def _stop(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(STOPPING)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
