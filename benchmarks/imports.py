"""What importing the package takes, compared with importing Starlette.

Each import is measured in an interpreter of its own, by its CPU time. The imports take turns, and a
ratio is the median of the ratios within a round. A round before them, which doesn't count, compiles
the modules. The compiled ones are in a folder of the benchmark.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.report import table

NAMES = "from sse_middleware import SSEMiddleware, event_stream"


@dataclass(frozen=True, slots=True)
class Import:
    """A statement that is measured, and one before it that is not."""

    statement: str
    before: str = ""


IMPORTS = (
    Import("import starlette.applications"),
    Import("import sse_middleware"),
    Import(NAMES),
    Import(NAMES, before="import starlette.applications"),
    Import("import fastapi"),
    Import(NAMES, before="import fastapi"),
)
"""The first is what the others are compared with."""

PROGRAM = """
import time
{before}
start = time.process_time()
{statement}
print(time.process_time() - start)
"""

Round = dict[Import, float]
"""Seconds of each import."""


def measure_imports(rounds: int) -> list[Round]:
    """Return what each import took in each round."""
    with TemporaryDirectory() as compiled:
        return [{one: seconds_of(one, compiled) for one in IMPORTS} for _ in range(rounds + 1)][1:]


def seconds_of(one: Import, compiled: str) -> float:
    variables = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    program = PROGRAM.format(before=one.before, statement=one.statement)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=variables, check=True, capture_output=True, timeout=60)
    return float(done.stdout)


def imports_table(rounds: Sequence[Round]) -> str:
    """Return the ratio of each import to the first one, and its milliseconds."""
    rows = [("import", "ratio", "min .. max", "ms (median)")]
    for one in IMPORTS:
        ratios = [times[one] / times[IMPORTS[0]] for times in rounds]
        spread = f"{min(ratios):.2f} .. {max(ratios):.2f}"
        milliseconds = f"{median(times[one] for times in rounds) * 1000:.1f}"
        rows.append((title(one), f"{median(ratios):.2f}", spread, milliseconds))
    return table(rows)


def title(one: Import) -> str:
    return f"`{one.statement}`, after `{one.before}`" if one.before else f"`{one.statement}`"
