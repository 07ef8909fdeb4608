"""What is left in a server without clients, compared with a baseline.

The memory of a process tells little while clients come and go, so it is read at rest only: when all
streams are gone, after a collection of garbage, and after the C library has given back what it had
kept for later. The plateau is what is resident at the first rest, after a third of the load: the
pools of threads, the arenas of objects and the caches have their size by then. A leak of a kilobyte
a stream would pass it by far at the last rest.
"""

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .visit import Visit

REST = 40.0
"""Seconds that a server has to come to rest when its last client has left: `send_timeout`,
`cleanup_timeout` and keep-alive connections end on the way, and others use the machine."""

LOOK = 0.5
"""Seconds between two looks."""

SETTLING = 6.0
"""Seconds after which a server has done what it does after the end of a connection."""

MEGABYTE = 1_000_000
PAGES = 4096


@dataclass(frozen=True)
class State:
    """What `/state` answers."""

    answer: dict[str, Any]

    @property
    def resident(self) -> int:
        """Resident bytes."""
        value: int = self.answer["resident"]
        return value

    @property
    def closings(self) -> Counter[tuple[str, str]]:
        """How many streams were closed, by the client's name and the reason."""
        return Counter({(name, reason): n for name, reason, n in self.answer["closings"]})

    def left_behind(self, baseline: "State | None" = None) -> list[str]:
        """Return what should not be there, or is more than at the baseline."""
        found = [*self._open()]
        if self.answer["wrong"]:
            found.append(f"told of streams that are not open: {self.answer['wrong']}")
        if baseline is not None:
            for kind in ("alive", "tasks", "files"):
                more = Counter(self.answer[kind]) - Counter(baseline.answer[kind])
                if more:
                    found.append(f"{kind}: {dict(more)}")
        return found

    def _open(self) -> list[str]:
        answer = self.answer
        numbers = {
            f"{name} {what}": stats[what]
            for name, stats in answer["streams"].items()
            for what in ("open", "clients", "waiting")
        }
        numbers["opened and not closed"] = answer["ledger"]
        for path, number in answer["entered"].items():
            numbers[f"generators of {path} that are not left"] = number
        return [f"{name}: {number}" for name, number in numbers.items() if number]


async def look(port: int) -> State:
    """Ask for the state."""
    async with asyncio.timeout(REST), Visit(port, "probe") as visit:
        visit.last = True
        await visit.get("/state")
        return State(json.loads(await visit.body()))


async def at_rest(port: int, baseline: State | None = None) -> State:
    """Return the state once nothing is left behind, or the last one that was seen."""
    deadline = time.monotonic() + REST
    while True:
        state = await look(port)
        if not state.left_behind(baseline) or time.monotonic() > deadline:
            return state
        await asyncio.sleep(LOOK)  # nothing tells when a process comes to rest


async def baseline_of(port: int) -> State:
    """Return the state of a server that has been used and has no clients."""
    await at_rest(port)
    await asyncio.sleep(SETTLING)
    return await at_rest(port)


def resident(pid: int) -> float:
    """Return the resident megabytes of a process, as they are."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGES / MEGABYTE
