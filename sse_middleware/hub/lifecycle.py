"""`HubLifecycle`: opens a hub, closes it, and finds it in the running event loop.

Rules of this file:
- A hub is open in one event loop at a time. What is used elsewhere raises a `HubError` that names
  the way out.
- When it is closed, the runs that it produces go on for a while. Then everything ends.
"""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from sse_middleware.errors import HubError
from sse_middleware.event_loop.loop import current_token
from sse_middleware.event_loop.task_group import daemon_task_group
from sse_middleware.hub.abc import Store
from sse_middleware.hub.running import RunningHub


class HubLifecycle:
    """The life of a hub.

    Args:
        make_store: makes its store in the event loop that uses it.
        drain_grace: seconds that its runs have when it is closed.
    """

    def __init__(self, make_store: Callable[[], Store], drain_grace: float) -> None:
        self._make_store = make_store
        self._drain_grace = drain_grace
        self._running: RunningHub | None = None
        self._find_running = self._here  # which all subscriptions share

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def is_open(self) -> bool:
        """Whether it is open, in any event loop."""
        return self._running is not None

    async def open(self) -> None:
        """Open it in the running event loop. It lives until `close`, in the same task.

        Raises:
            HubError: it is open.
            ConfigurationError: its store can't work as it is set up.
        """
        if self._running is not None:
            raise HubError("the hub is open already: open it once, with the application's lifespan")
        store = self._make_store()
        tasks = daemon_task_group()
        await tasks.__aenter__()
        self._running = running = RunningHub(store, tasks)
        looked = False
        try:
            await running.look_at_store()
            looked = True
        finally:
            if not looked:  # this was cancelled, or the store can't work
                await self._close(running)

    async def close(self) -> None:
        """End all runs and all subscriptions. Nothing can be published any more.

        Runs have `drain_grace_resumable` seconds to end by themselves.
        """
        running = self._running
        if running is None:
            return
        try:
            await self.drain_runs()
        finally:
            await self._close(running)

    async def drain_runs(self) -> None:
        """End all runs, as `close` does. Everything else goes on, but no run begins any more."""
        if self._running is not None:
            await self._running.runs.drain(self._drain_grace)

    async def _close(self, running: RunningHub) -> None:
        if self._running is running:
            self._running = None
            running.end()
            try:
                await running.tasks.__aexit__(None, None, None)
            finally:
                await running.store.aclose()

    def running(self) -> RunningHub | None:
        """Return what it has in the running event loop. ``None`` if it isn't open there."""
        running = self._running
        return running if running is not None and current_token() is running.token else None

    def _opened(self) -> RunningHub:
        if self._running is None:
            raise HubError(
                "the hub is not open: SSEMiddleware(hub=hub) opens it when the application starts. "
                "Elsewhere use `async with hub:` around what uses it"
            )
        return self._running

    def _here(self) -> RunningHub:
        """Return the open hub. Raises `HubError` unless its event loop runs here."""
        running = self._running
        if running is None:
            return self._opened()
        try:
            here = current_token() is running.token
        except RuntimeError:
            here = False
        if not here:
            raise HubError(
                "the hub is open in another event loop or thread: in a thread use "
                "`hub.publish_sync(...)`, and open a hub of its own in another event loop"
            )
        return running

    def _clock(self) -> Callable[[], float]:
        """Return the clock of the hub's event loop, or one that works in any thread."""
        running = self._running
        if running is None or running.thread != threading.get_ident():
            return time.monotonic
        return running.worker.clock
