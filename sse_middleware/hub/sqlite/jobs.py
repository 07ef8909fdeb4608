"""`Job` and `Delivery`: what passes between the event loop and the thread of a store."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sse_middleware.event_loop.wakeup import wakeup
from sse_middleware.hub.abc import Entry
from sse_middleware.hub.run import FencedError
from sse_middleware.hub.sqlite.tables import Tables

PATIENCE = 5.0
"""Seconds for which a job is tried again if another process has locked the file."""

Work = Callable[[Tables, int], Any]
"""What is done within a transaction. It gets the tables, and the store's time.

If it raises `FencedError`, it has written nothing.
"""


class Job:
    """Something to do in the file. A task of the event loop waits for it.

    Args:
        work: what to do. It may be done again, if the transaction fails.
        writes: whether it changes the file.
    """

    __slots__ = ("_wakeup", "deadline", "done", "error", "result", "work", "writes")

    def __init__(self, work: Work, *, writes: bool) -> None:
        self.work = work
        self.writes = writes
        self.deadline = time.monotonic() + PATIENCE
        self.result: Any = None
        self.error: Exception | None = None
        self.done = False
        """Whether the event loop knows what came out."""
        self._wakeup = wakeup()

    def do(self, tables: Tables, now: int) -> None:
        """Do it within a transaction. That it is fenced is an answer: the transaction goes on."""
        self.error = None
        try:
            self.result = self.work(tables, now)
        except FencedError as error:
            self.error = error

    def finish(self) -> None:
        """Wake the task."""
        self.done = True
        self._wakeup.set()

    async def wait(self) -> Any:
        """Return what came out, or raise it."""
        while not self.done:
            await self._wakeup.wait()
        if self.error is not None:
            raise self.error
        return self.result


@dataclass(slots=True)
class Delivery:
    """What the thread has for the event loop."""

    news: list[tuple[str, Entry, int]] = field(default_factory=list)
    """Events, in the order of their clocks, each with its topic and the store's mark."""
    broken: bool = False
    """Whether listeners may have missed something after that."""
    jobs: list[Job] = field(default_factory=list)
    """Jobs that are done."""
