"""`SendDelay`: lets what is ready wait for more, `max_delay` seconds at most."""

from collections.abc import Callable

from sse_middleware.event_loop.loop import call_later


class SendDelay:
    """The wait of the frames of one stream.

    Args:
        seconds: how long they may wait.
        on_end: called when they have waited that long. It asks `holds` again.
    """

    __slots__ = ("_cancel", "_is_over", "_on_end", "_seconds")

    def __init__(self, seconds: float, on_end: Callable[[], object]) -> None:
        self._seconds = seconds
        self._on_end = on_end
        self._cancel: Callable[[], object] | None = None  # while frames wait
        self._is_over = False

    def holds(self, *, urgent: bool) -> bool:
        """Whether what is ready waits, now or still. What is `urgent` never does."""
        if urgent or self._is_over:
            self.end()
            return False
        if self._cancel is None:
            self._cancel = call_later(self._seconds, self._on_timer)
        return True

    def end(self) -> None:
        """Forget what waits."""
        self._is_over = False
        if self._cancel is not None:
            self._cancel()
            self._cancel = None

    def _on_timer(self) -> None:
        self._is_over = True
        self._on_end()
