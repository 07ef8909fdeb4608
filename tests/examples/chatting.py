"""The chat as a server of its own, and a model for it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.e2e.servers import free_port
from tests.patience import PATIENCE
from tests.presets.clients.conftest import Served, served

from .test_app import wait_for


@dataclass(frozen=True)
class Chat:
    """A chat that is served."""

    url: str
    output: Path
    """The file that takes what its workers print."""
    supervisor: int
    """The process that has started the workers."""

    def endings(self) -> int:
        """Return how many answers of the simulated model have ended."""
        return self.output.read_text().count("the simulated model has ended")

    def kill_workers(self) -> None:
        """Kill all workers at once. The supervisor starts others."""
        children = Path(f"/proc/{self.supervisor}/task/{self.supervisor}/children").read_text()
        workers = [
            int(child)
            for child in children.split()
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]
        assert len(workers) >= 2
        for worker in workers:
            os.kill(worker, signal.SIGKILL)


@dataclass(frozen=True)
class Model:
    """A model with OpenAI's interface, which waits before each "..."."""

    server: Served

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a chat that asks it."""
        return {
            "OPENAI_BASE_URL": f"{self.server.url}/v1",
            "OPENAI_API_KEY": "secret",
            "OPENAI_MODEL": "parrot",
        }

    def go_on(self) -> None:
        """Let it say "..." and what follows."""
        httpx.post(f"{self.server.url}/go", timeout=PATIENCE).raise_for_status()

    def wait_for_ending(self) -> None:
        """Wait until the stream of an answer has ended."""
        assert self.server.process.stdout is not None
        assert self.server.process.stdout.readline() == "the answer has ended\n"


@contextmanager
def waiting_model() -> Iterator[Model]:
    """Serve the model for as long as the block lasts."""
    with served("tests.examples.openai_server") as server:
        yield Model(server)


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
            yield Chat(wait_for(port, process), output, process.pid)
        finally:
            _stop(process)


def _stop(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
