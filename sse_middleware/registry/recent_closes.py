"""`RecentCloses`: how the last streams ended.

Nobody keeps them until somebody looks. From then on each stream that ends is described, which
happens once in its life.
"""

import time
from collections import deque
from dataclasses import dataclass

from sse_middleware.records import CloseReason, StreamInfo

KEPT = 100
"""How many closes are kept."""


@dataclass(frozen=True, slots=True)
class RecentClose:
    """How one stream ended. See `StreamClosed`."""

    number: int
    """How many closes came before it."""
    at: float
    """When it ended, in seconds since 1970."""
    stream: StreamInfo
    reason: CloseReason
    events: int
    size: int
    seconds: float
    error: str | None
    """The type of the exception. What it says may be secret."""


class RecentCloses:
    """The last closes."""

    def __init__(self) -> None:
        self.since = time.time()
        """From when on they are known, in seconds since 1970."""
        self.count = 0
        """How many there were. The last `KEPT` of them are known."""
        self._closes = deque[RecentClose](maxlen=KEPT)

    def closed(
        self,
        stream: StreamInfo,
        reason: CloseReason,
        counts: tuple[int, int, float] = (0, 0, 0.0),
        error: BaseException | None = None,
    ) -> None:
        """Note the end of a stream.

        Args:
            stream: what identifies it.
            reason: why it ended.
            counts: the events and bytes that were sent, and the seconds that it lasted.
            error: what it raised.
        """
        name = None if error is None else type(error).__name__
        close = RecentClose(self.count, time.time(), stream, reason, *counts, name)
        self._closes.append(close)
        self.count += 1

    def refused(self, stream: StreamInfo) -> None:
        """Note a stream that was not admitted."""
        self.closed(stream, CloseReason.REFUSED)

    def after(self, count: int) -> list[RecentClose]:
        """Return those that came after the first `count` ones, as far as they are kept."""
        return [close for close in self._closes if close.number >= count]
