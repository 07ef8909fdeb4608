"""How uvicorn says that it stops where no signal tells it to.

Its server stops when a maximum of requests is reached (``--limit-max-requests``, gunicorn's
``--max-requests``), when a program sets ``server.should_exit``, or when a program cancels `serve`.
It then waits for the open responses, and says nothing to the application.

Rules of this file:
- A server is found by a task of the event loop that runs a method of it. It is only looked at.
- A server stops once `should_exit` is set, its sockets are closed, or its task has ended. That is
  looked for every `INTERVAL` seconds while streams are open.
- The server of a request is the one that holds the request's task. It is not known in a task of a
  middleware's own, unless there is only one server.
- uvicorn 0.43 and 0.44 send ``http.disconnect`` to every request when they stop.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator
from typing import Any, Protocol

INTERVAL = 0.1
"""Seconds between two looks at a server. It looks at itself as often."""

SEARCH_INTERVAL = 1.0
"""Seconds between two searches for servers: a search looks at every task."""


class _Hear(Protocol):
    def __call__(self, server: object, *, last: bool) -> object: ...


class UvicornServers:
    """The uvicorn servers that run in this event loop.

    Args:
        hear: called when a server has been told to stop, with the server and whether it is the
            last one that has served the caller's requests. Once for each.
        in_use: whether streams are open, so that a look is worth its time.
    """

    def __init__(self, hear: _Hear, in_use: Callable[[], bool]) -> None:
        self._hear = hear
        self._in_use = in_use
        self._loop = asyncio.get_running_loop()
        self._found: dict[Any, _Serving] = {}
        self._serving_us: set[object] = set()
        self._heard: set[object] = set()
        self._searched = float("-inf")
        self._latest: object | None = None  # the server of the latest request
        self._timer: asyncio.TimerHandle | None = None

    def of_request(self) -> Any:
        """Return the server of the running request if it is known, and watch it from now on."""
        if self._timer is not None and self._holds_current_task(self._latest):
            return self._latest
        if "uvicorn.server" not in sys.modules:
            return None
        self._forget_the_ended()
        server = self._holding_current_task()
        if server is None and self._search():
            server = self._holding_current_task()
        if server is None and len(self._found) == 1:
            server = next(iter(self._found))
        if self._timer is None and self._found:
            self._timer = self._loop.call_later(INTERVAL, self._on_timer)
        return server

    def is_stopping(self, server: object | None) -> bool:
        """Whether a server has been told to stop. ``None`` means any of them."""
        if server is None:
            return any(serving.is_stopping() for serving in self._found.values())
        return server not in self._found or self._found[server].is_stopping()

    def disconnects(self, server: object | None) -> bool:
        """Whether a server has been told to stop, and sends ``http.disconnect`` because of that."""
        return any(
            serving.disconnects() and serving.is_stopping()
            for one, serving in self._found.items()
            if server in (one, None)
        )

    def end(self) -> None:
        """Stop looking. May be called from another thread."""
        if self._timer is not None:
            self._timer.cancel()
        for serving in self._found.values():
            serving.task.remove_done_callback(self._on_done)

    def _on_timer(self) -> None:
        self._timer = None
        if self._in_use():
            self._timer = self._loop.call_later(INTERVAL, self._on_timer)
            self._look()

    def _on_done(self, _task: asyncio.Task[Any]) -> None:
        if self._in_use():
            self._look()

    def _look(self) -> None:
        for server, serving in list(self._found.items()):
            if server not in self._heard and serving.is_stopping():
                self._heard.add(server)
                self._hear(server, last=self._is_last())

    def _is_last(self) -> bool:
        of_others = self._found.keys() - self._serving_us if self._serving_us else set()
        return all(self._found[one].is_stopping() for one in self._found.keys() - of_others)

    def _holding_current_task(self) -> Any:
        for server in self._found:
            if self._holds_current_task(server):
                self._serving_us.add(server)
                self._latest = server
                return server
        return None

    def _holds_current_task(self, server: Any) -> bool:
        return server in self._found and asyncio.current_task() in server.server_state.tasks

    def _search(self) -> bool:
        """Search for servers, unless that was done a moment ago. Returns whether it was not."""
        now = self._loop.time()
        if now - self._searched < SEARCH_INTERVAL:
            return False
        self._searched = now
        for task in asyncio.all_tasks():
            server = _server_run_by(task)
            if server is not None and server not in self._found:
                self._found[server] = _Serving(server, task)
                task.add_done_callback(self._on_done)
        return True

    def _forget_the_ended(self) -> None:
        for server in [one for one, serving in self._found.items() if serving.is_over()]:
            del self._found[server]
            self._heard.discard(server)
            self._serving_us.discard(server)


class _Serving:
    """A server and the task that runs it."""

    def __init__(self, server: Any, task: asyncio.Task[Any]) -> None:
        self.task = task
        self._server = server
        self._disconnects: bool | None = None  # not known before its first connection

    def is_stopping(self) -> bool:
        if self._server.should_exit or self.task.done():
            return True
        listening = getattr(self._server, "servers", ())  # there are none before it has started
        return bool(listening) and not any(one.is_serving() for one in listening)

    def is_over(self) -> bool:
        return self.task.done() and not self._server.server_state.tasks

    def disconnects(self) -> bool:
        if self._disconnects is None:
            connections = self._server.server_state.connections
            cycles = (getattr(connection, "cycle", None) for connection in connections)
            cycle = next(filter(None, cycles), None)
            self._disconnects = None if cycle is None else hasattr(cycle, "shutting_down")
        return bool(self._disconnects)


def _server_run_by(task: asyncio.Task[Any]) -> Any:
    kind = sys.modules["uvicorn.server"].Server
    for frame in _frames(task.get_coro()):
        if frame.f_code.co_varnames[:1] == ("self",):
            owner = frame.f_locals.get("self")
            if isinstance(owner, kind):
                return owner
    return None


def _frames(awaitable: Any) -> Iterator[Any]:
    """Yield the frames of a coroutine and of those that it waits for."""
    while awaitable is not None:
        frame = getattr(awaitable, "cr_frame", None) or getattr(awaitable, "gi_frame", None)
        if frame is not None:
            yield frame
        inner = getattr(awaitable, "cr_await", None)
        awaitable = inner if inner is not None else getattr(awaitable, "gi_yieldfrom", None)
