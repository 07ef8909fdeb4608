"""Starts the contenders' servers and ends them.

Rules of this file:
- There is one process per contender, or several workers of one. Each prints its port as its first
  line.
- better-sse takes part if `node` and the package are found. The environment variable BETTER_SSE
  names the folder of the package. By default it is in `node_modules` next to this file.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO

from benchmarks import children

HERE = Path(__file__).parent
BETTER_SSE = "better_sse"
BETTER_SSE_CHANNEL = "broadcast/better_sse"
BARE_PROTOCOL = "broadcast.protocol"
UVICORN = "uvicorn"
HYPERCORN = "hypercorn"
GRANIAN = "granian"


@dataclass(frozen=True, slots=True)
class RunningServer:
    """The port and the process of a contender."""

    port: int
    pid: int
    output: IO[bytes]
    """What it prints after its port."""


@contextmanager
def serving(
    contenders: Iterable[str],
    server: str = UVICORN,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[dict[str, RunningServer]]:
    """Run the servers of contenders during the block, each in a fresh process.

    All are started before the first is waited for. They are ended in the same way.
    """
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for contender in dict.fromkeys(contenders):
            processes[contender] = start(contender, server, environment)
        yield {contender: running(contender, process) for contender, process in processes.items()}
    finally:
        children.end(processes.values())


@contextmanager
def serving_many(
    contender: str, number: int, environment: Mapping[str, str]
) -> Iterator[list[RunningServer]]:
    """Run several servers of one contender during the block, as `serving` does."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        processes.extend(start(contender, UVICORN, environment) for _ in range(number))
        yield [running(contender, process) for process in processes]
    finally:
        children.end(processes)


def start(
    contender: str, server: str, environment: Mapping[str, str] = MappingProxyType({})
) -> "subprocess.Popen[bytes]":
    return children.start(command(contender, server), subprocess.PIPE, HERE.parent, environment)


def running(contender: str, process: "subprocess.Popen[bytes]") -> RunningServer:
    """Wait until a server listens."""
    assert process.stdout is not None  # a pipe, as `start` requests
    return RunningServer(read_port(contender, process.stdout), process.pid, process.stdout)


def command(contender: str, server: str) -> list[str]:
    if contender in (BETTER_SSE, BETTER_SSE_CHANNEL):
        script = HERE / "contenders" / f"{contender}.cjs"
        return ["node", str(script), str(better_sse_package())]
    if contender == BARE_PROTOCOL:
        return [sys.executable, "-m", f"benchmarks.contenders.{contender}"]
    return [sys.executable, "-m", "benchmarks.serve", contender, server]


def read_port(contender: str, output: IO[bytes]) -> int:
    line = output.readline()
    if not line.strip().isdigit():
        raise RuntimeError(f"the server of {contender} did not start, it printed {line!r}")
    return int(line)


def better_sse_package() -> Path:
    """Return the absolute path of the folder for the npm package."""
    return Path(os.environ.get("BETTER_SSE") or HERE / "node_modules" / "better-sse").resolve()


def missing_better_sse() -> str | None:
    """Return why better-sse can't take part, or ``None`` if it can."""
    if shutil.which("node") is None:
        return "`node` was not found"
    found = (better_sse_package() / "package.json").is_file()
    return None if found else "the npm package was not found"


def better_sse_versions() -> str:
    """Return the versions of Node and of the package. Both must be installed."""
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    package = json.loads((better_sse_package() / "package.json").read_text())
    return f"Node {node.stdout.strip()}, better-sse {package['version']}"
