"""How an application learns that its server has been told to stop, while streams are open.

A server tells its application only after the last request, so an endless stream keeps the server
from stopping. There are three ways to learn of it earlier, and all are used:

- By a signal to the process that serves (`os_signals`).
- By an event of hypercorn's (`hypercorn`).
- By what uvicorn's server says of itself (`uvicorn`). It tells which server stops, as several may
  run in one event loop.

Applications that share a process each listen for themselves, and end in any order.
"""

import threading
from collections.abc import Callable
from typing import Protocol

from sse_middleware.event_loop.loop import running_asyncio_task, threadsafe_caller
from sse_middleware.shutdown import hypercorn
from sse_middleware.shutdown.os_signals import Heard, SignalHandler, handlers
from sse_middleware.shutdown.uvicorn import UvicornServers


class Server(Protocol):
    """A server that tells when it stops."""

    def is_stopping(self) -> bool:
        """Whether it has been told to stop."""

    def disconnects(self) -> bool:
        """Whether it has been told to stop, and sends ``http.disconnect`` because of that."""


class OnServer(Protocol):
    """Called in the event loop, once for each server that has been told to stop."""

    def __call__(self, server: Server, *, last: bool) -> None:
        """Hear of it.

        Args:
            server: what `Listening.server_of_request` returned.
            last: whether no other one goes on that has served the caller's requests.
        """


def listen(
    callback: Callable[[], object],
    on_server: OnServer | None = None,
    in_use: Callable[[], bool] = lambda: True,
) -> "Listening":
    """Have a function called when the server of the running event loop is told to stop.

    The caller ends the listening with `Listening.end`.

    Signals reach the main thread only. In another thread they are not heard.

    Args:
        callback: called in the event loop, at most once, and not after the listening has ended.
        on_server: called instead of `callback`, if the server that stops is known.
        in_use: whether there are streams. Without any, uvicorn's servers are not looked at.
    """
    return Listening(callback, on_server, in_use)


class Listening:
    """What `listen` returns."""

    def __init__(
        self,
        callback: Callable[[], object],
        on_server: OnServer | None,
        in_use: Callable[[], bool],
    ) -> None:
        self._callback: Callable[[], object] | None = callback
        self._on_server = on_server
        self._call = threadsafe_caller()
        self._heard = False
        self._handlers: tuple[SignalHandler, ...] = ()
        self._servers: UvicornServers | None = None
        task = running_asyncio_task()
        if task is None:
            self._closed = _never
            self._leave_hypercorn = hypercorn.listen_in_trio(self.hear)
        else:
            self._closed = task.get_loop().is_closed
            self._leave_hypercorn = hypercorn.listen_in_asyncio(self.hear)
            self._servers = UvicornServers(self._hear_server, in_use)
        if threading.current_thread() is threading.main_thread():
            self._handlers = tuple(handlers(self.hear, self._closed))
            for handler in self._handlers:
                handler.install()

    def server_of_request(self) -> Server | None:
        """Return the server of the running request if it is known, and watch it from now on."""
        return None if self._servers is None else self._servers.of_request()

    def goes_on(self) -> bool:
        """Whether the server of the running request serves on, as far as that is known."""
        server = self.server_of_request()
        if server is None:
            return self._leave_hypercorn is not None  # it has served when the listening began
        return not server.is_stopping()

    def disconnects(self) -> bool:
        """Whether any server has been told to stop, and sends ``http.disconnect``."""
        return self._servers is not None and self._servers.disconnects()

    def hear(self) -> Heard:
        """Pass the word on to the event loop. Called there, or wherever a signal interrupts."""
        if self._callback is None:
            return Heard.BY_NOBODY
        if self._heard:
            return Heard.BEFORE
        self._heard = True
        for handler in self._handlers:
            handler.give_way()
        try:
            self._call(self._tell)
        except RuntimeError:  # the event loop has ended
            self._callback = None
            return Heard.BY_NOBODY
        return Heard.NOW

    def end(self) -> None:
        """End the listening, and put the handlers of signals back.

        It may be called when the event loop has ended, and again.
        """
        self._callback = None
        if self._leave_hypercorn is not None:
            self._leave_hypercorn()
        if self._servers is not None:
            self._servers.end()
        for handler in self._handlers:
            handler.uninstall()

    def _hear_server(self, server: Server, *, last: bool) -> None:
        if self._callback is None:
            return
        if self._on_server is None:
            self.hear()
        else:
            self._on_server(server, last=last)

    def _tell(self) -> None:
        if self._callback is not None:
            self._callback()


def _never() -> bool:
    """Say that a loop of trio's goes on: its end is always told."""
    return False
