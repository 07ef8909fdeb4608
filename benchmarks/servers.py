"""Starts the contenders' servers and ends them.

Rules of this file:
- One process per contender, which prints its port as its first line.
- Every process that is started here is ended here, by its own handle, whatever happens in between.
- better-sse takes part where `node` and the package can be found: the folder of the package in the
  environment variable BETTER_SSE, or `node_modules` beside this file.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent
BETTER_SSE = "better_sse"
END_TIMEOUT = 5.0
"""Seconds that a server has to end before it is killed."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """Where a contender listens, and which process it is."""

    port: int
    pid: int
    output: IO[bytes]
    """What it prints after its port."""


@contextmanager
def serving(contender: str) -> Iterator[RunningServer]:
    """Run the server of a contender for the length of the block."""
    process = subprocess.Popen(
        command(contender), cwd=HERE.parent, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert process.stdout is not None  # a pipe, as asked for
    try:
        port = read_port(contender, process.stdout)
        yield RunningServer(port, process.pid, process.stdout)
    finally:
        end(process)


def command(contender: str) -> list[str]:
    if contender != BETTER_SSE:
        return [sys.executable, "-m", "benchmarks.serve", contender]
    return ["node", str(HERE / "contenders" / "better_sse.cjs"), str(better_sse_package())]


def read_port(contender: str, output: IO[bytes]) -> int:
    line = output.readline()
    if not line.strip().isdigit():
        raise RuntimeError(f"the server of {contender} did not start, it printed {line!r}")
    return int(line)


def end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(END_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()


def better_sse_package() -> Path:
    """Return the absolute folder in which the npm package is to be."""
    return Path(os.environ.get("BETTER_SSE") or HERE / "node_modules" / "better-sse").resolve()


def missing_better_sse() -> str | None:
    """Say what better-sse lacks to take part, or return ``None``."""
    if shutil.which("node") is None:
        return "`node` was not found"
    found = (better_sse_package() / "package.json").is_file()
    return None if found else "the npm package was not found"


def better_sse_versions() -> str:
    """Return the versions of Node and of the package, which must be there."""
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    package = json.loads((better_sse_package() / "package.json").read_text())
    return f"Node {node.stdout.strip()}, better-sse {package['version']}"
