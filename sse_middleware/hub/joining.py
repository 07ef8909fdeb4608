"""`Joining`: a subscriber from the moment when it joins its hub until it knows where to begin.

Rules of this file:
- It wants events from the moment when it joins, so it misses none while it waits for the store.
- Most begin at once. Nothing has to be awaited then, and no task is needed.
"""

from collections.abc import Callable, Sequence

from sse_middleware.content import NotIterable
from sse_middleware.event_loop.wakeup import wakeup
from sse_middleware.hub.taker import Taker
from sse_middleware.hub.topic import Topic
from sse_middleware.hub.wanted import FindHub, OpenHub, Wanted
from sse_middleware.hub.worker import Worker, nothing


class Joining(NotIterable):
    """A subscriber that joins its hub.

    Args:
        hub: returns what it needs of the hub. Raises `HubError` unless the hub is open.
        wanted: what the subscriber wants.
        clock: in seconds.
    """

    __slots__ = (
        "_clock",
        "_cursor",
        "_hub",
        "_made",
        "_open_hub",
        "_topics",
        "_wanted",
        "_worker",
        "ended",
        "wake",
    )

    _topics: Sequence[Topic]
    _worker: Worker
    # Not abstract, because each response asks whether its content is a subscriber, and to ask an
    # abstract class is slower.
    _begins: Callable[[], bool]
    """Finds the position. Returns false if something must be read before."""
    close: Callable[[], None]
    """Has it want nothing more. It may be called more than once, and before `open`."""
    end: Callable[[], None]
    """Says that nothing more will come."""

    def __init__(self, hub: FindHub, wanted: Wanted, clock: Callable[[], float]) -> None:
        self._open_hub = hub
        self._hub: OpenHub | None = None
        self._wanted = wanted
        self._cursor = Taker(wanted)
        self._clock = clock
        self._made = 0.0 if wanted.subject is None else clock()
        self._topics = ()
        self.ended = False
        """Whether nothing more will come: its subject was disconnected, or the hub was closed."""
        self.wake: Callable[[], object] = nothing  # has its reader look for something new

    @property
    def subject(self) -> str | None:
        """Whose stream it is."""
        return self._wanted.subject

    def age(self) -> float:
        """Return how many seconds ago it was made. Only a subject needs to know."""
        return self._clock() - self._made

    async def open(self, wake: Callable[[], object]) -> None:
        """Find out where to begin, which may wait for the store. Then take what there is.

        Args:
            wake: called if there may be something to take, or `ended` is true. It must not raise.

        Raises:
            HubError: the hub is not open, or in another event loop.
        """
        if self.open_at_once(wake):
            return
        opened = wakeup()
        self.wake = opened.set
        try:
            while not (self.ended or self._begins()):
                await opened.wait()
            if self._wanted.subject is not None and self._hub is not None and not self.ended:
                await self._hub.guard.watch(self)
            self._opened(wake)
        except BaseException:
            self.close()
            raise

    def open_at_once(self, wake: Callable[[], object]) -> bool:
        """Do what `open` does, as far as nothing has to be awaited.

        Returns whether that was all. If not, `open` must be awaited.
        """
        if self._hub is None:
            self._join(self._open_hub())
        if self._wanted.subject is None and (self.ended or self._begins()):
            self._opened(wake)
            return True
        return False

    def _opened(self, wake: Callable[[], object]) -> None:
        """Wake the reader from now on."""
        self.wake = wake

    def _join(self, hub: OpenHub) -> None:
        """Want events from now on."""
        self._hub = hub
        self._worker = worker = hub.worker
        self._cursor.read_events = hub.read_events
        to_fill = self._cursor.at is not None or self._wanted.with_kept
        self._topics = worker.add(self._wanted.names, self, to_fill=to_fill)
