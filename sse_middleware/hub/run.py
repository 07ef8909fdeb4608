"""A run: work whose events outlive the client that asked for them, as a store knows it.

Rules of this file:
- A run belongs to a topic. A store has one run of a topic at most. It knows it for as long as the
  topic keeps its events.
- A run begins with an entry that has a marker with its token. The entries before it are gone. It
  ends with an entry that has the marker of its end. No marker reaches a client: see `viewer`.
- A run may begin twice: if the answer to its beginning was lost, and then the store has lost the
  beginning. Nothing was appended between the two. The token tells that it is the same run.
- A marker is a field that no event has. So no item can be taken for one.
- Whoever produces a run holds its lease. When the lease is over, nothing is appended to the run any
  more, but the entry that says that it was aborted.
- The appends of a run are numbered. One that was made before is not made again. The entry that says
  that the run was aborted has no number, since others than its producer make it.
"""

from dataclasses import dataclass
from enum import StrEnum

from sse_middleware.errors import StoreError
from sse_middleware.hub.keep import Keep


class RunState(StrEnum):
    """What a run does, or how it has ended."""

    RUNNING = "running"
    """Its generator runs."""
    DONE = "done"
    """Its generator has ended."""
    ERROR = "error"
    """Its generator has failed, or gave more than `max_bytes`."""
    STOPPED = "stopped"
    """Somebody called `Hub.stop`, or nobody watched it for `stop_when_unwatched` seconds."""
    DRAINED = "drained"
    """The hub that produced it was closed."""
    ABORTED = "aborted"
    """The worker that produced it is gone."""


RUN_TOPIC = "\0run:"
"""How the name of a run's topic begins. No topic of the application can have it."""

STARTED = b"run: started "
"""How the block of the entry begins with which a run begins."""


def start_marker(token: str) -> bytes:
    """Return the block of the entry with which a run begins."""
    return b"%b%b\n\n" % (STARTED, token.encode())


def end_marker(state: RunState) -> bytes:
    """Return the block of the entry with which a run ends."""
    return b"run: %b\n\n" % state.value.encode()


class FencedError(StoreError):
    """An append to a run was refused: it is another one's, has ended, or its lease is over."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run, at one moment."""

    token: str
    """Which run of the topic it is."""
    start: int
    """The clock of the entry with which it began."""
    state: RunState
    end: int
    """The clock of the entry with which it ended, 0 while it runs."""
    held: float
    """Seconds that its lease lasts yet, 0 if it is over."""
    stopping: bool
    """Whether it is to stop."""
    unwatched: float
    """Seconds since somebody was seen to watch it, or since it began."""
    unwatched_limit: float | None
    """Seconds without anybody after which it is to stop, ``None`` without a limit."""

    @property
    def is_running(self) -> bool:
        """Whether somebody produces it."""
        return self.state is RunState.RUNNING and self.held > 0

    @property
    def is_orphaned(self) -> bool:
        """Whether nobody produces it, and its end is still to be written."""
        return self.state is RunState.RUNNING and self.held <= 0


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a run begins with."""

    token: str
    """A new one. If the answer of the store is lost, ask again with the same token."""
    keep: Keep
    """What the topic keeps from now on."""
    seconds: float
    """How long the lease lasts."""
    restart: bool = False
    """Whether a run that is there makes way."""
    unwatched_limit: float | None = None
    """What to note for `Run.unwatched_limit`."""


@dataclass(frozen=True, slots=True)
class RunAppend:
    """What else an append to a run has."""

    token: str
    """Of the run."""
    number: int
    """How many appends to the run came before this one. Not looked at if it is aborted."""
    seconds: float
    """How long the lease lasts from now on."""
    end: RunState | None = None
    """How the run ends with this append. It is aborted only once its lease is over."""


@dataclass(slots=True)
class StoredRun:
    """A run in a store that has it in Python. Times are the store's, in microseconds."""

    token: str
    start: int
    until: int
    """When its lease is over."""
    watched: int
    """When somebody was last seen to watch it."""
    unwatched_limit: float | None
    number: int = 0
    """How many appends its producer has made."""
    state: RunState = RunState.RUNNING
    end: int = 0
    stopping: bool = False

    @classmethod
    def begun(cls, new: NewRun, start: int, now: int) -> "StoredRun":
        """Return a new run, with the clock of its first entry."""
        until = now + int(new.seconds * _SECOND)
        return cls(new.token, start, until, now, new.unwatched_limit)

    def stays(self, new: NewRun) -> bool:
        """Return whether it stays when another one is to begin.

        If it has the same token, its beginning is repeated because the answer was lost.
        """
        return self.token == new.token or not new.restart

    def at(self, now: int) -> Run:
        """Return what it is now."""
        return Run(
            self.token,
            self.start,
            self.state,
            self.end,
            max(0, self.until - now) / _SECOND,
            self.stopping,
            (now - self.watched) / _SECOND,
            self.unwatched_limit,
        )

    def takes(self, append: RunAppend, now: int) -> bool:
        """Return whether an append is to be made. Raises `FencedError` if it must not be."""
        aborts = append.end is RunState.ABORTED
        if self.token == append.token and not aborts and append.number < self.number:
            return False
        runs = self.token == append.token and self.state is RunState.RUNNING
        over = self.until <= now
        if not runs or aborts != over or (not aborts and append.number > self.number):
            raise fenced(self, append, now)
        return True

    def note(self, append: RunAppend, last: int, now: int) -> None:
        """Note that an append was made, with the clock of its last event."""
        self.number += append.end is not RunState.ABORTED
        self.until = now + int(append.seconds * _SECOND)
        if append.end is not None:
            self.state, self.end = append.end, last

    def renew(self, token: str, seconds: float, now: int) -> bool:
        """Make the lease last for some seconds. Returns false unless the token holds it."""
        if self.token != token or self.state is not RunState.RUNNING or self.until <= now:
            return False
        self.until = now + int(seconds * _SECOND)
        return True

    def stop(self) -> None:
        """Note that it is to stop, if it runs."""
        self.stopping = self.stopping or self.state is RunState.RUNNING


def fenced(run: StoredRun | None, append: RunAppend, now: int) -> FencedError:
    """Return why an append is refused, once it is."""
    if run is None:
        why = "there is no run any more"
    elif run.token != append.token:
        why = "another run is in its place"
    elif run.state is not RunState.RUNNING:
        why = f"it has ended, and its state is {run.state.value}"
    elif append.end is RunState.ABORTED:
        why = "its lease is not over yet"
    elif run.until <= now:
        why = "its lease is over"
    else:
        why = "the store has lost what was appended before"
    return FencedError(f"nothing was appended to the run: {why}")


_SECOND = 1_000_000
"""Microseconds."""
