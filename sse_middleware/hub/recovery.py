"""`Recovery`: the tasks of a process that wait to ask the store again.

Rules of this file:
- When the store answers one task, all that wait ask it at once. It is there again.
- A store may answer one and go on failing another. So after a wait that was cut short, the next
  one of the same `Backoff` isn't. At most twice as many attempts are made as without this.
- The first wait isn't cut short: it is short, and spreads what many processes do when their store
  begins anew.
"""

from anyio import Event, move_on_after, sleep

from sse_middleware.hub.backoff import FIRST, Backoff


class Recovery:
    """Tasks that wait for a store that was away."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting = dict[Event, None]()
        """What wakes each of them."""

    def note(self) -> None:
        """Know that the store has answered."""
        for event in self.waiting:
            event.set()

    async def wait(self, backoff: Backoff) -> None:
        """Wait as long as `backoff` says, or until the store answers anybody."""
        seconds = backoff.next()
        if backoff.cut_short or seconds <= FIRST:
            backoff.cut_short = False
            await sleep(seconds)
            return
        event = Event()
        self.waiting[event] = None
        try:
            with move_on_after(seconds):
                await event.wait()
                backoff.cut_short = True
        finally:
            del self.waiting[event]
