"""A viewer as the source of a stream.

Rules of this file:
- The stream ends with the run. What ends it comes in this order: the event that tells an aborted
  run, the block that moves the client behind the end, the last frame of a preset.
- Observers are told that the stream has ended as its run has: a run that fails is an error of each
  stream that views it. Its client was told so, or got less than it asked for.
- The first frame of a preset is the run's own first event.
"""

import logging

from sse_middleware.errors import RunAbortedError, RunFailedError
from sse_middleware.hub.run import RunState
from sse_middleware.hub.runs.viewer import Viewer
from sse_middleware.hub.subscriber_stream import (
    SubscriberControlFrames,
    SubscriberOutbox,
    SubscriptionProducer,
)
from sse_middleware.items.control_frames import ConfiguredControlFrames, ControlFrameRules
from sse_middleware.items.hints import ItemHints
from sse_middleware.records import CloseReason
from sse_middleware.stream.abc import FrameSink

logger = logging.getLogger(__name__)


class ViewerControlFrames(SubscriberControlFrames):
    """The control frames of a viewer.

    Args:
        rules: how they are made.
        hints: reports what looks like a mistake.
        viewer: has the position, and knows how the run has ended.
    """

    __slots__ = ("_viewer",)

    def __init__(self, rules: ControlFrameRules, hints: ItemHints, viewer: Viewer) -> None:
        super().__init__(rules, hints, viewer)
        self._viewer = viewer

    def first(self) -> bytes:
        """Return ``b""``: the run has it."""
        return b""

    def last(self) -> bytes:
        """Return the frame behind the end of a run that is done, or ``b""``."""
        return super().last() if self._viewer.outcome is RunState.DONE else b""


class ViewerOutbox(SubscriberOutbox):
    """The frames that a viewer may have now.

    Args:
        viewer: knows how the run has ended.
        bound: about how many bytes one message may have.
    """

    __slots__ = ("_viewer",)

    def __init__(self, viewer: Viewer, bound: int) -> None:
        super().__init__(viewer, bound)
        self._viewer = viewer

    def conclusion(self) -> tuple[CloseReason, Exception | None]:
        """Return why the stream has ended if nothing cut it off. See `Outbox`."""
        match self._viewer.outcome:
            case RunState.ERROR:
                return CloseReason.ERROR, RunFailedError("its worker has logged the exception")
            case RunState.ABORTED:
                return CloseReason.ERROR, _abortion()
            case RunState.DRAINED:
                return CloseReason.DRAINED, None
            case _:
                return super().conclusion()


class ViewerProducer(SubscriptionProducer):
    """Opens a viewer, and waits for the end of its run.

    Args:
        viewer: what is streamed.
        control: makes the event of an aborted run.
    """

    __slots__ = ("_control", "_viewer")

    def __init__(self, viewer: Viewer, control: ConfiguredControlFrames) -> None:
        super().__init__(viewer)
        self._viewer = viewer
        self._control = control

    def outbox(self, bound: int, *, stepwise: bool) -> ViewerOutbox:  # noqa: ARG002 - no steps
        """Make the outbox of the stream."""
        return ViewerOutbox(self._viewer, bound)

    async def produce(self, sink: FrameSink) -> None:
        """Have events pulled until the run ends, or until the sink wants no more."""
        await super().produce(sink)
        if self._viewer.outcome is RunState.ABORTED:
            sink.put(frame := self._abort_frame(), bool(frame))
        sink.put(self._viewer.end_block, 0)

    def _abort_frame(self) -> bytes:
        """Return the event that tells an aborted run, or ``b""``. The end comes in any case."""
        try:
            return self._control.of_error(_abortion())
        except Exception:
            logger.exception("no event tells that a run was aborted")
            return b""


def _abortion() -> RunAbortedError:
    return RunAbortedError("the worker that produced it is gone")
