"""`Viewer`: a client that views a run. To its stream it is a subscription to the run's topic.

Rules of this file:
- It begins with the run's first event, or after the last one that the client has had. What came
  before the run in its topic is never sent, although a ring may have it yet.
- Markers tell where a run begins and ends. They are taken out of what is sent.
- The entry of the end becomes a block with an id and no data. A client that comes back after it has
  had everything, and is answered with 204. So its ``EventSource`` doesn't come back again. For
  clients that take such a block for an event it is only the line, which joins what comes next.
- If another run begins in the topic, the viewer's run makes way, and its stream ends there. The
  same block moves the client to the beginning of that run, so a gap that it was told of the old one
  isn't told again. If the run is gone before its end was taken, a gap is told.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from sse_middleware.hub.abc import State
from sse_middleware.hub.gaps import GapReason, later_starts
from sse_middleware.hub.ids import Position, parse_position
from sse_middleware.hub.published_event import PublishedEvent
from sse_middleware.hub.run import RUN_TOPIC, Run, RunState
from sse_middleware.hub.subscription import Subscription
from sse_middleware.hub.wanted import FindHub, OpenHub, Wanted, Where
from sse_middleware.settings import Overrides

NO_CONTENT, NOT_FOUND = 204, 404

_MARKER = b"\nrun: "


class Watched(Protocol):
    """Looks after the runs that are viewed."""

    def watch(self, viewer: "Viewer") -> None:
        """End the viewer if its run is gone, and have the run aborted if nobody produces it."""

    def forget(self, viewer: "Viewer") -> None:
        """Watch no more. It may never have been watched."""


class Viewer(Subscription):
    """Views a run. `Hub.resumable` and `Hub.attach` make it.

    Args:
        hub: returns what it needs of the hub. Raises `HubError` unless the hub is open.
        topic: of the run.
        run: what the run was just now, ``None`` if there is none.
        watched: watches the run meanwhile.
        clock: in seconds.
        overrides: settings of the run, which the streams of its viewers have too.
        subject: whose stream it is.
        where: a filter.
    """

    __slots__ = ("_watched", "end_block", "outcome", "overrides", "run", "topic")

    def __init__(
        self,
        hub: FindHub,
        topic: str,
        run: Run | None,
        watched: Watched,
        clock: Callable[[], float],
        *,
        overrides: Overrides,
        subject: str | None = None,
        where: Where | None = None,
    ) -> None:
        wanted = Wanted(
            (topic,),
            with_kept=True,
            where=_but_markers(where),
            subject=subject,
        )
        super().__init__(hub, wanted, clock)
        self.topic = topic
        self.run = run
        self.overrides = overrides
        self.outcome: RunState | None = None
        """How the run has ended, once its end was taken."""
        self.end_block = b""
        """What comes last: what moves the client's position after the end, or a gap."""
        self._watched = watched

    def status(self, last_event_id: str) -> int | None:
        """Return the status that answers a request, ``None`` if there is something to stream.

        A client that has an id comes back, and must not come again and again.

        Args:
            last_event_id: as the client sent it, or ``""``.
        """
        run = self.run
        if run is None:
            return NO_CONTENT if last_event_id else NOT_FOUND
        if run.end and self._has_had(run.end, last_event_id):
            return NO_CONTENT
        return None

    def _has_had(self, clock: int, last_event_id: str) -> bool:
        """Whether the client has had everything up to a clock of the store."""
        position, state = parse_position(last_event_id), self._open_hub().worker.state
        if position is None or state is None:
            return False
        later = later_starts(position.mark, state)
        return later is not None and min([position.clock, *later]) >= clock

    def _join(self, hub: OpenHub) -> None:
        self._watched.watch(self)
        super()._join(hub)

    def _opened(self, wake: Callable[[], object]) -> None:
        super()._opened(wake)
        self.look_at(self.run)

    def _begins(self) -> bool:
        """Find the position, once what there is of an earlier run is known to be gone."""
        start = 0 if self.run is None else self.run.start
        return self._is_synced() and self._reach() >= start and super()._begins()

    def _rings_tell(self, state: State) -> bool:
        """Whether the store need not be read. A run has no more in a ring than in its log."""
        if self._cursor.at is None:
            return all(topic.whole for topic in self._topics)
        return super()._rings_tell(state)

    def look_at(self, run: Run | None) -> None:
        """Look at the present run of the topic. End if nothing more of this one's will come."""
        if run is None:
            self._lose()
        elif self.run is None or self.run.token != run.token or self._begins_behind(run.end):
            self.end()

    def _lose(self) -> None:
        """End with a gap: the run is gone, and its end was not taken."""
        if self._is_in_store() and not self.ended:
            self.end_block = self._cursor.gap((self.topic,), GapReason.EXPIRED)
        self.end()

    def _is_in_store(self) -> bool:
        """Whether its position is one of the present store. Otherwise that is a gap of its own."""
        return self._hub is not None and self._cursor.mark == self._worker.mark

    def _begins_behind(self, end: int) -> bool:
        """Whether the client came back with a position behind the end of the run."""
        return end > 0 and self._is_in_store() and self._cursor.clock >= end

    def close(self) -> None:
        """Want nothing more. See `Subscription.close`."""
        self._watched.forget(self)
        super().close()

    def take(self, limit: int) -> bytes:
        """Return events that may be delivered now. See `Subscription.take`."""
        taken = super().take(limit)
        return self._without_markers(taken) if _MARKER in taken else taken

    def _without_markers(self, taken: bytes) -> bytes:
        """Return what comes before the end, without markers. Notes the end."""
        kept: list[bytes] = []
        for block in taken.split(b"\n\n")[:-1]:
            if _MARKER not in block:
                kept.append(block + b"\n\n")
            else:
                self.taken -= 1
                self._note_marker(block)
                if self.ended:
                    break
        return b"".join(kept)

    def _note_marker(self, block: bytes) -> None:
        """Look at a marker. One of an earlier run says nothing, nor does its own beginning."""
        line, _, marker = block.partition(_MARKER)
        position = parse_position(line.removeprefix(b"id: ").decode()) or Position(0, 0)
        start = 0 if self.run is None else self.run.start
        state, _, token = marker.decode().partition(" ")
        if position.clock <= start or (self.run is not None and token == self.run.token):
            return
        self.stop()
        if not token:
            self.outcome = RunState(state)
        self.end_block = line + (b"\n\n" if self._cursor.sends_positions else b"\n")


def _but_markers(where: Where | None) -> Where | None:
    """Return a filter that lets markers through: an event without a name and without data.

    The topic of the others is the key, as in a gap.
    """
    if where is None:
        return None

    def wants(event: PublishedEvent) -> object:
        is_marker = event.event is None and not event.data
        return is_marker or where(replace(event, topic=event.topic.removeprefix(RUN_TOPIC)))

    return wants
