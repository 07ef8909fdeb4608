"""`StoreThread`: the thread that has the file, and does what the event loop asks for.

Rules of this file:
- The thread sleeps until it has a job or a doorbell rings. While somebody listens, it looks into
  the file every second as well, in case nobody rang.
- The event loop never waits for a socket or a file. So this works in every event loop.
- All that came out of one round goes to the event loop in one call.
- It is daemonic: a process that stops doesn't wait for it.
"""

import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from sse_middleware.errors import StoreError
from sse_middleware.event_loop.loop import current_token, threadsafe_caller
from sse_middleware.event_loop.wakeup import wakeup
from sse_middleware.hub.sqlite.bells import drain
from sse_middleware.hub.sqlite.jobs import Delivery, Job, Work
from sse_middleware.hub.sqlite.session import Session

POLL = 1.0
"""Seconds after which the file is looked at, if nobody rings."""

_RETRY = 0.01
"""Seconds between two attempts at a file that is locked."""


class StoreThread(threading.Thread):
    """Does jobs in a session's file. Make it in the event loop that uses it.

    Args:
        session: what it works with.
        heard: the topics that somebody listens to.
        deliver: called in the event loop with what came out.
    """

    works_for: object | None = None
    """The event loop that it has work for, ``None`` without any."""

    def __init__(
        self,
        session: Session,
        heard: Mapping[str, object],
        deliver: Callable[[Delivery], object],
    ) -> None:
        super().__init__(name="sse-hub-sqlite", daemon=True)
        self._session = session
        self._heard = heard
        self._deliver = deliver
        self._token = current_token()
        self._call_loop = threadsafe_caller()
        self._jobs = deque[Job]()
        self._open_jobs = 0
        self._asleep = False
        self._stopped = False
        self.ended = False
        """Whether it has let go of everything."""
        self._changed = wakeup()
        self._waker, self._woken = socket.socketpair()
        self._waker.settimeout(0)
        self._woken.settimeout(0)
        self._wakes = threading.Lock()

    def submit(self, work: Work, *, writes: bool) -> Job:
        """Have something done. The event loop calls this."""
        job = Job(work, writes=writes)
        if self._stopped:
            job.error = StoreError("the hub is closed, so nothing was done")
            job.finish()
            return job
        self._count(1)
        self._jobs.append(job)
        if self._asleep:
            self._wake()
        return job

    async def stop(self) -> None:
        """End when all jobs are done. The event loop calls this."""
        if not self._stopped:
            self._count(1)
            self._session.closing = self._stopped = True
            self._wake()
        while not self.ended:
            await self._changed.wait()
        self.join()

    def _wake(self) -> None:
        with self._wakes:
            if self._waker.fileno() < 0:  # it has ended
                return
            with suppress(BlockingIOError):  # it has been woken often
                self._waker.send(b"!")

    def _close_waker(self) -> None:
        """Close what wakes the thread. The event loop may have ended, so it can't be left to it."""
        with self._wakes:
            self._woken.close()
            self._waker.close()

    def run(self) -> None:
        """Work. The thread calls this."""
        works = True
        while works and not (self._stopped and not self._jobs and not self._session.held):
            self._wait()
            delivery = Delivery()
            self._session.do(self._taken(), delivery)
            works = self._call(partial(self._note, delivery))
        self._session.close()
        self._close_waker()
        self._call(self._note_ended)

    def _call(self, callback: Callable[[], object]) -> bool:
        """Have the event loop call a function. Returns false if the loop has ended."""
        try:
            self._call_loop(callback)
        except RuntimeError:
            return False
        return True

    def _taken(self) -> list[Job]:
        """Return the jobs that wait. Those that were held up come first."""
        jobs, self._session.held = self._session.held, []
        while self._jobs:
            jobs.append(self._jobs.popleft())
        return jobs

    def _wait(self) -> None:
        """Sleep until there is something to do."""
        if not self._heard:
            self._session.deafen()
        self._asleep = True
        sockets = [self._woken]
        if self._session.bell is not None:
            sockets.append(self._session.bell.socket)
        poll = select.poll()
        for one in sockets:
            poll.register(one, select.POLLIN)
        poll.poll(None if (seconds := self._seconds()) is None else 1000 * seconds)
        self._asleep = False
        for one in sockets:
            drain(one)

    def _seconds(self) -> float | None:
        """Return for how long to sleep, ``None`` for ever."""
        if self._jobs or self._stopped:
            return 0
        if self._session.held:
            return _RETRY
        return POLL if self._heard else None

    def _count(self, jobs: int) -> None:
        """Know that there are more jobs, or less. This runs in the event loop."""
        self._open_jobs += jobs
        self.works_for = self._token if self._open_jobs else None

    def _note(self, delivery: Delivery) -> None:
        """Take what came out. This runs in the event loop."""
        self._count(-len(delivery.jobs))
        self._deliver(delivery)

    def _note_ended(self) -> None:
        """Know that the thread has let go of everything. This runs in the event loop."""
        self._count(-1)
        self.ended = True
        self._changed.set()
