"""`StreamGuard`: runs the work that makes a response, which may open a stream while it runs.

Rules of this file:
- The work keeps the endpoint's task, so context variables, cancel scopes and dependencies stay
  whole. A native stream opens at once. An adopted one opens when the application's response turns
  out to be events, in the middle of the application's own `send`.
- Until then there is only the scope that guards the work: no outbox, no tasks.
- An error in one of the stream's own tasks cancels the work. The endpoint's task then raises that
  error alone.
"""

from asyncio import Task
from collections.abc import Callable, Coroutine
from typing import Any, cast

from starlette.types import Send

from sse_middleware.event_loop.cancel_scope import edge_cancel_scope, uncancelled_block
from sse_middleware.event_loop.raised_again import RaisedAgain
from sse_middleware.event_loop.task_group import daemon_task_group
from sse_middleware.settings import StreamSettings
from sse_middleware.stream.abc import ControlFrames, Work
from sse_middleware.stream.connection import Connection
from sse_middleware.stream.open_stream import OpenStream
from sse_middleware.stream.stream_start import StreamStart


class StreamGuard:
    """Guards the work of a response that is, or may become, a body of events.

    Args:
        send: where messages go.
        connection: whose end ends the stream.
        settings: how it is sent.
        control: makes the frames of the stream itself.
        shielding: whether a cancelled scope outside cancels the work only once.
        waits: whether the work runs nothing of the application's, and only waits for its end.
        running_in: the asyncio task that runs the work already, if there is one.
    """

    __slots__ = (
        "_connection",
        "_control",
        "_opened",
        "_scope",
        "_send",
        "_settings",
        "_tasks",
    )

    def __init__(
        self,
        send: Send,
        connection: Connection,
        settings: StreamSettings,
        control: ControlFrames,
        *,
        shielding: bool = True,
        waits: bool = False,
        running_in: Task[Any] | None = None,
    ) -> None:
        self._send = send
        self._connection = connection
        self._settings = settings
        self._control = control
        self._scope = (
            uncancelled_block(settings.cleanup_timeout)
            if waits
            else edge_cancel_scope(settings.cleanup_timeout, shielding=shielding, task=running_in)
        )
        if running_in is not None:
            self._scope.__enter__()  # `run` enters it again, when the work has ended
        self._tasks = daemon_task_group()
        self._opened: OpenStream | None = None

    def open(self, start: StreamStart, work: Work) -> Any:
        """Begin the response, and return where the producer puts its frames: what `start` makes.

        Until then the work is on its own, as if there were no stream.
        """
        self._opened = opened = OpenStream(
            self._send,
            self._connection,
            self._settings,
            self._control,
            self._scope,
            self._tasks,
            start,
            work,
        )
        return opened.start(self._tasks, at_once=start.at_once)

    @property
    def is_open(self) -> bool:
        """Whether the stream has been opened."""
        return self._opened is not None

    def end_unfinished(self) -> None:
        """End the body of an open stream whose work has ended without completing it."""
        cast("OpenStream", self._opened).end_unfinished()

    @property
    def is_overdue(self) -> bool:
        """Whether the stream, once open, has ended long enough ago for its work to have noticed."""
        return cast("OpenStream", self._opened).is_overdue

    def refuse(self) -> None:
        """Cancel the work. Its stream is not opened, and never will be."""
        self._scope.cancel()

    async def run(self, begin: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run the work, and send everything that it puts.

        Returns when the body is complete or the client has gone. Raises what the work raised, what
        `send` raised, and a cancellation from outside.

        Args:
            begin: returns the work as a coroutine. It opens a native stream at once. The coroutine
                of an adopted one opens it while it runs.
        """
        failure: BaseException | None = None
        try:
            async with self._tasks:
                with self._scope:
                    try:
                        work = begin()
                        del begin  # what only the start needs ends here
                        await self._scope.run(work)
                    except BaseException as error:
                        if self._opened is None or not await self._opened.settle(error):
                            raise
                    finally:
                        if self._opened is not None:
                            await self._opened.close_work()
                if self._opened is not None:
                    await self._opened.finish()
        finally:
            if self._opened is not None:
                failure = self._opened.release()
        if failure is not None:
            try:
                with RaisedAgain(failure):
                    raise failure
            finally:
                del failure  # its traceback holds this frame
