"""`EndedRuns`: how the last runs of this process ended. Nobody keeps them until somebody looks."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from sse_middleware.hub.run import RunState
from sse_middleware.hub.runs.runner import Runner

KEPT = 50
"""How many are kept."""


@dataclass(frozen=True, slots=True)
class EndedRun:
    """How a run ended. Times are the store's, in microseconds."""

    key: str
    state: RunState
    began: int
    ended: int
    size: int
    """How many bytes its events had."""


class EndedRuns:
    """The last runs that have ended."""

    def __init__(self) -> None:
        self._runs = deque[EndedRun](maxlen=KEPT)

    def __iter__(self) -> Iterator[EndedRun]:
        return reversed(self._runs)

    def note(self, runner: Runner, now: int) -> None:
        """Keep how a run has ended, if the runner has produced it."""
        if runner.began is not None:
            self._runs.append(EndedRun(runner.key, runner.state, runner.began, now, runner.size))
