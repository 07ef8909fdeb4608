"""Starts a redis-server for the benchmarks, and ends it.

Rules of this file:
- A server has a port and a directory of its own. Nothing else uses it.
- It saves no snapshots. An append-only file is written only if it is asked for.
- Where a server or the package redis is missing, the other parts still run.
"""

# ruff: noqa: PLC0415 - the package may be missing

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from benchmarks import children
from benchmarks.serve import HOST

COMMANDS = ("redis-server", "valkey-server")

APPEND_ONLY = ("--appendonly", "yes", "--appendfsync", "everysec")
"""Options of a server that writes all to a file, and has it on the disk within a second."""

START_TIMEOUT = 10.0
"""Seconds that a server has until it answers."""

ATTEMPTS = 3
"""How many ports are tried. Another process may take a port that was free a moment ago."""


class RunningRedis:
    """A server that answers.

    Args:
        port: where it listens.
    """

    def __init__(self, port: int) -> None:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        self.url = f"redis://{HOST}:{port}"
        self._error = redis.RedisError
        self._client = redis.Redis(HOST, port, retry=Retry(NoBackoff(), 0))

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its threads so far: their own, and the kernel's for them."""
        told = self._info("cpu")
        return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])

    def version(self) -> str:
        """Return what it is."""
        told = self._info("server")
        name = told.get("server_name", "redis")
        return f"{name} {told.get(f'{name}_version', told['redis_version'])}"

    def answers(self) -> bool:
        """Whether it can be used."""
        with suppress(self._error):
            return bool(self._client.ping())
        return False

    def close(self) -> None:
        """Close the connection to it."""
        self._client.close()

    def _info(self, section: str) -> dict[str, Any]:
        told: dict[str, Any] = self._client.info(section)
        return told


def missing_redis() -> str | None:
    """Return why nothing can be measured in Redis, or ``None`` if it can."""
    if find_spec("redis") is None:
        return "the package `redis` is not installed"
    return None if redis_command() else f"neither of {', '.join(COMMANDS)} was found"


def redis_command() -> str | None:
    """Return what starts a server, ``None`` if it isn't installed."""
    return next(filter(shutil.which, COMMANDS), None)


def client_versions() -> str:
    """Return what speaks to Redis. hiredis is optional, and parses replies in C."""
    from redis.utils import HIREDIS_AVAILABLE

    parser = f"with hiredis {version('hiredis')}" if HIREDIS_AVAILABLE else "without hiredis"
    return f"redis-py {version('redis')} {parser}"


@contextmanager
def redis_server(*options: str) -> Iterator[RunningRedis]:
    """Run a server during the block, with these options on its command line."""
    with tempfile.TemporaryDirectory() as directory:
        process, server = start(("--save", "", "--dir", directory, *options))
        try:
            yield server
        finally:
            server.close()
            children.end([process])


def start(options: tuple[str, ...]) -> tuple["subprocess.Popen[bytes]", RunningRedis]:
    """Start a server on a port that is free, and wait until it answers."""
    command = redis_command()
    assert command is not None  # the caller has looked
    for _ in range(ATTEMPTS):
        with socket.create_server((HOST, 0)) as probe:
            port = probe.getsockname()[1]
        process = children.start(
            [command, "--bind", HOST, "--port", str(port), *options], subprocess.DEVNULL
        )
        server = RunningRedis(port)
        if wait_for(process, server):
            return process, server
        server.close()
        children.end([process])
    raise RuntimeError(f"{command} did not start")


def wait_for(process: "subprocess.Popen[bytes]", server: RunningRedis) -> bool:
    """Wait until a server answers. Returns false if it has ended, or takes too long."""
    deadline = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        if server.answers():
            return True
        time.sleep(0.01)  # nothing tells when it has come so far
    return False
