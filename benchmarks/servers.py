"""Starts the contenders' servers and ends them.

Rules of this file:
- One process per contender, which prints its port as its first line.
- Every process that is started here is ended here, by its own handle, whatever happens in between.
- better-sse takes part where `node` and the package can be found: the folder of the package in the
  environment variable BETTER_SSE, or `node_modules` beside this file.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
BETTER_SSE = "better_sse"
END_TIMEOUT = 5.0
"""Seconds that a server has to end before it is killed."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """Where a contender listens, and which process it is."""

    port: int
    pid: int


@contextmanager
def serving(contender: str) -> Iterator[RunningServer]:
    """Run the server of a contender for the length of the block."""
    process = subprocess.Popen(
        command(contender), cwd=HERE.parent, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    try:
        yield RunningServer(read_port(contender, process), process.pid)
    finally:
        end(process)


def command(contender: str) -> list[str]:
    if contender != BETTER_SSE:
        return [sys.executable, "-m", "benchmarks.serve", contender]
    node, package = shutil.which("node"), better_sse_package()
    if node is None or package is None:
        raise RuntimeError("better-sse can't be started: see missing_better_sse")
    return [node, str(HERE / "contenders" / "better_sse.cjs"), str(package)]


def read_port(contender: str, process: "subprocess.Popen[bytes]") -> int:
    line = process.stdout.readline() if process.stdout else b""
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


def better_sse_package() -> Path | None:
    """Return the absolute folder of the npm package, if there is one."""
    folder = Path(os.environ.get("BETTER_SSE") or HERE / "node_modules" / "better-sse").resolve()
    return folder if (folder / "package.json").is_file() else None


def missing_better_sse() -> str | None:
    """Say what better-sse lacks to take part, or return ``None``."""
    if shutil.which("node") is None:
        return "`node` was not found"
    return None if better_sse_package() else "the npm package was not found"
