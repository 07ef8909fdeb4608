"""A redis-server of the tests' own, in a directory of its own, ended by its own process id."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.e2e.client import HOST
from tests.e2e.servers import free_port
from tests.patience import PATIENCE

COMMAND = next(
    filter(shutil.which, (os.environ.get("REDIS_SERVER", "redis-server"), "valkey-server")), None
)
"""``REDIS_SERVER`` in the environment names another one."""


def needed() -> None:
    """Skip a test without redis-server. In CI it fails."""
    if COMMAND is None:
        if os.environ.get("CI"):
            pytest.fail("redis-server is not installed")
        pytest.skip("redis-server is not installed")


class RedisServer:
    """A redis-server.

    Args:
        directory: where its files are.
        options: of its command line.
    """

    def __init__(self, directory: Path, *options: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port = free_port()
        self.options = self._defaults(options)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _defaults(self, options: tuple[str, ...]) -> tuple[str, ...]:
        if "--sentinel" in options:  # it saves its state in its configuration
            configuration = self.directory / "sentinel.conf"
            configuration.touch()
            return (str(configuration), *options)
        assert COMMAND is not None
        local = ("--enable-debug-command", "local") if _has_debug_command(COMMAND) else ()
        return ("--save", "", "--repl-diskless-sync-delay", "0", *local, *options)

    def start(self, *options: str) -> None:
        """Start it, also again."""
        assert COMMAND is not None
        place = ("--bind", HOST, "--port", str(self.port), "--dir", str(self.directory))
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [COMMAND, *self.options, *place, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self.wait_until(self._answers)
        except BaseException:
            self.kill()
            raise

    def _answers(self) -> bool:
        """Whether it answers. Its port may have been taken meanwhile, which its log says."""
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        with suppress(redis.AuthenticationError):
            self.ask("PING")
        return True

    def wait_until(self, holds: Callable[[], object]) -> None:
        """Wait until something holds. Nothing tells when a server has come so far."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if holds():
                    return
            except redis.RedisError:
                pass
            time.sleep(0.01)
        raise RuntimeError(f"redis-server isn't there:\n{self.log()}")

    def log(self) -> str:
        """Return what it has logged."""
        return (self.directory / "log").read_text()

    def pause(self) -> None:
        """Let it do nothing until `resume`. Its connections stay."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it at once. It can save nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def ask(self, *command: Any) -> Any:
        """Send one command."""
        with self.client() as client:
            return client.execute_command(*command)

    def info(self, section: str) -> str:
        """Return what it says about itself, as text."""
        with self.client() as client:
            client.set_response_callback("INFO", str)
            return str(client.execute_command("INFO", section))

    def client(self) -> redis.Redis:
        """Return a client that repeats nothing."""
        once = Retry(NoBackoff(), 0)
        return redis.Redis(
            HOST, self.port, decode_responses=True, protocol=2, socket_timeout=PATIENCE, retry=once
        )

    def age(self, seconds: float) -> None:
        """Let all keys be this much nearer to their end, and the times of runs older."""
        with self.client() as client:
            for key in client.scan_iter():
                if key.partition("}")[2].startswith(":run:"):
                    for field in ("until", "watched"):
                        client.hincrby(key, field, -int(seconds * 1e6))
                left = client.pttl(key)
                if left >= 0:
                    client.pexpire(key, left - int(seconds * 1000))


def _has_debug_command(command: str) -> bool:
    """Whether it knows an option that came with Redis 7."""
    said = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout
    return "v=6" not in said
