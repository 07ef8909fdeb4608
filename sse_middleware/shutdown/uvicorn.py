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
    def __call__(self, server: "UvicornServer", *, last: bool) -> object: ...


class UvicornServer:
    """A server that runs in this event loop.

    Args:
        server: uvicorn's own object.
        task: the task that runs it.
    """

    def __init__(self, server: Any, task: asyncio.Task[Any]) -> None:
        self.server = server
        self.task = task
        self._disconnects: bool | None = None  # not known before its first connection

    def is_stopping(self) -> bool:
        """Whether it has been told to stop."""
        if self.server.should_exit or self.task.done():
            return True
        listening = getattr(self.server, "servers", ())  # there are none before it has started
        for one in listening:
            if one.is_serving():
                return False
        return bool(listening)

    def disconnects(self) -> bool:
        """Whether it has been told to stop, and sends ``http.disconnect`` because of that."""
        if self._disconnects is None:
            connections = self.server.server_state.connections
            cycles = (getattr(connection, "cycle", None) for connection in connections)
            cycle = next(filter(None, cycles), None)
            self._disconnects = None if cycle is None else hasattr(cycle, "shutting_down")
        return bool(self._disconnects) and self.is_stopping()

    def is_over(self) -> bool:
        """Whether it has ended, and no request is left."""
        return self.task.done() and not self.server.server_state.tasks

    def holds_current_task(self) -> bool:
        """Whether the running task is that of one of its requests."""
        return asyncio.current_task() in self.server.server_state.tasks


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
        self._found: dict[Any, UvicornServer] = {}
        self._serving_us: set[UvicornServer] = set()
        self._heard: set[UvicornServer] = set()
        self._searched = float("-inf")
        self._latest: UvicornServer | None = None  # the server of the latest request
        self._timer: asyncio.TimerHandle | None = None

    def of_request(self) -> UvicornServer | None:
        """Return the server of the running request if it is known, and watch it from now on."""
        latest = self._latest
        if self._timer is not None and latest is not None and latest.holds_current_task():
            return latest
        if "uvicorn.server" not in sys.modules:
            return None
        self._forget_the_ended()
        server = self._holding_current_task()
        if server is None and self._search():
            server = self._holding_current_task()
        if server is None and len(self._found) == 1:
            server = next(iter(self._found.values()))
        if self._timer is None and self._found:
            self._timer = self._loop.call_later(INTERVAL, self._on_timer)
        return server

    def disconnects(self) -> bool:
        """Whether any of them has been told to stop, and sends ``http.disconnect``."""
        return any(server.disconnects() for server in self._found.values())

    def end(self) -> None:
        """Stop looking. May be called from another thread."""
        if self._timer is not None:
            self._timer.cancel()
        for server in self._found.values():
            server.task.remove_done_callback(self._on_done)

    def _on_timer(self) -> None:
        self._timer = None
        if self._in_use():
            self._timer = self._loop.call_later(INTERVAL, self._on_timer)
            self._look()

    def _on_done(self, _task: asyncio.Task[Any]) -> None:
        if self._in_use():
            self._look()

    def _look(self) -> None:
        for server in list(self._found.values()):
            if server not in self._heard and server.is_stopping():
                self._heard.add(server)
                self._hear(server, last=self._is_last())

    def _is_last(self) -> bool:
        return all(server.is_stopping() for server in self._serving_us or self._found.values())

    def _holding_current_task(self) -> UvicornServer | None:
        for server in self._found.values():
            if server.holds_current_task():
                self._serving_us.add(server)
                self._latest = server
                return server
        return None

    def _search(self) -> bool:
        """Search for servers, unless that was done a moment ago. Returns whether it was not."""
        now = self._loop.time()
        if now - self._searched < SEARCH_INTERVAL:
            return False
        self._searched = now
        for task in asyncio.all_tasks():
            server = _server_run_by(task)
            if server is not None and server not in self._found:
                self._found[server] = UvicornServer(server, task)
                task.add_done_callback(self._on_done)
        return True

    def _forget_the_ended(self) -> None:
        for ended in [server for server in self._found.values() if server.is_over()]:
            del self._found[ended.server]
            self._heard.discard(ended)
            self._serving_us.discard(ended)


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
