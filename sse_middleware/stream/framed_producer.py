"""`FramedProducer`: the first and last frames of a preset around those of a producer."""

from typing import Protocol

from sse_middleware.stream.abc import FrameSink, Producer


class OuterFrames(Protocol):
    """Makes the frames around those of a producer."""

    def first(self) -> bytes:
        """Make the frame before them, or ``b""``."""

    def last(self) -> bytes:
        """Make the frame after them if the stream ends by itself, or ``b""``."""


class FramedProducer:
    """Puts frames before and after those of a producer.

    Args:
        producer: makes those in between.
        outer: makes the first and the last one.
    """

    __slots__ = ("_outer", "_producer", "close", "stage", "when_idle")

    def __init__(self, producer: Producer, outer: OuterFrames) -> None:
        self._producer = producer
        self._outer = outer
        self.close = producer.close
        self.stage = producer.stage
        self.when_idle = producer.when_idle

    def __repr__(self) -> str:
        return repr(self._producer)

    async def produce(self, sink: FrameSink) -> None:
        """Put the first frame, the producer's frames, and the last frame."""
        if first := self._outer.first():
            sink.put(first)
        await self._producer.produce(sink)
        if last := self._outer.last():
            sink.put(last)  # dropped if the stream was ended early
