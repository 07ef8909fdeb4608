"""`Queue`: frames that wait for the writer of one stream, as far as its writer and its end know.

An `Outbox` holds what a producer puts. A subscriber of a hub holds nothing: it takes what lies
after its position.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from sse_middleware.event_loop.task_group import DaemonTaskGroup
from sse_middleware.event_loop.wakeup import wakeup
from sse_middleware.records import CloseReason
from sse_middleware.stream.abc import Ending


class FrameWriter(Protocol):
    """Sends what a queue holds."""

    def run(self) -> None:
        """Take it now."""

    def wake(self) -> None:
        """Take it soon."""


class NoWriter:
    """The writer of a queue that has none yet, or whose stream has ended."""

    __slots__ = ()

    def run(self) -> None:
        """Do nothing."""

    wake = run


class Queue(ABC):
    """What a writer takes frames from.

    The writer runs while it is ``raised``. While the producer waits for room, it is ``awaited``.

    Args:
        bound: how many bytes may wait, about.
    """

    __slots__ = (
        "_bound",
        "awaited",
        "closed",
        "completing",
        "ending",
        "events",
        "in_room",
        "moved",
        "patient",
        "raised",
        "size",
        "writer",
    )

    unread = False
    """Whether the writer drops what it takes."""
    between_events = True
    """Whether the frames so far end where another event may begin."""

    def __init__(self, bound: int) -> None:
        self.awaited = False
        self.closed = False
        self.ending: Ending | None = None
        self.events = 0
        """How many events have been taken. It may count some that still wait."""
        self.completing = False
        """Set by the writer: the last message has been sent, or is about to be."""
        self.moved = wakeup()
        """Wakes the producer."""
        self.raised = False
        """Whether there is something to take, or nothing more will come. The writer clears it."""
        self.size = 0
        """How many bytes wait."""
        self.in_room = False
        """Whether the producer waits for room."""
        self.patient = False
        """Set by the writer: whether what waits may wait for more."""
        self.writer: FrameWriter = NoWriter()
        """Takes what waits. It is no bound method, which each queue would keep."""
        self._bound = bound

    @abstractmethod
    def accompany(
        self,
        tasks: DaemonTaskGroup,
        watch: Callable[[], Coroutine[Any, Any, None]],
        apart: Callable[[], bool],
    ) -> None:
        """Have the connection watched while the stream is open.

        Args:
            tasks: run while it is open.
            watch: returns what watches it.
            apart: returns whether that needs a task of its own.
        """

    @abstractmethod
    def wake(self) -> None:
        """Have the writer take what waits."""

    @abstractmethod
    def put(self, frame: bytes, events: int = 1) -> bool:
        """Add a frame. Returns true if the producer must wait before the next one.

        Args:
            frame: the bytes of events or of a comment. It may be empty.
            events: how many events the frame holds.
        """

    def when_between_events(self, callback: Callable[[], object]) -> None:  # noqa: B027 - see below
        """Call back once, when the frames next end between two events.

        It is only called where they don't now. A queue of whole events is never there.
        """

    @abstractmethod
    def take(self) -> bytes:
        """Return everything that waits, joined."""

    @abstractmethod
    def leave_unread(self) -> None:
        """Know that the client has left, although the producer may go on."""

    def last_id(self, *, sending: bool) -> str:  # noqa: ARG002 - others know
        """Return the last id that was sent, if the queue knows it and the writer doesn't.

        Args:
            sending: whether what was taken last is still being sent.
        """
        return ""

    def conclusion(self) -> tuple[CloseReason, Exception | None]:
        """Return why a stream has ended whose producer finished, and what failed elsewhere."""
        return CloseReason.FINISHED, None

    def rest(self) -> None:  # noqa: B027 - few need it
        """Note that the producer has suspended, and that what waits goes on waiting."""

    def release(self) -> None:
        """Forget the writer. Without this, a stream that has ended would be a reference cycle."""
        self.writer = NoWriter()

    def close(self, ending: Ending) -> None:
        """Say that nothing more will be put, and why. Wakes both sides.

        The first ending counts, except that ``ABANDONED`` replaces any other. What is put later is
        dropped, so nothing follows the last event.
        """
        self.end(ending)
        if ending is not Ending.ABANDONED:
            self.wake()

    def end(self, ending: Ending) -> None:
        """Close, in a step of the work: the writer need not be woken."""
        if self.closed and ending is not Ending.ABANDONED:
            return
        self.closed = True
        self.ending = ending
        self._bound = 0
        self.raised = ending is not Ending.ABANDONED
        self.moved.set()
