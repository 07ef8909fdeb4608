"""`Lifespan`: runs the lifespan of an application around a test."""

from typing import Any

import anyio
from anyio.abc import TaskGroup
from starlette.types import ASGIApp, Message

from sse_middleware.testing.errors import NoAnswerError


class Lifespan:
    """Starts an application and shuts it down. Skips one that doesn't support the lifespan.

    A cancellation of the test doesn't reach the application.

    Args:
        app: the application.
        state: the application fills it at its startup.
        patience: seconds that the startup and the shutdown may take, each.
    """

    def __init__(self, app: ASGIApp, state: dict[str, Any], patience: float) -> None:
        self._app = app
        self._scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": state}
        self._patience = patience
        self._to_app, self._from_test = anyio.create_memory_object_stream[Message](2)
        self._answers: dict[str, Message] = {}
        self._error: Exception | None = None
        self._ended = False
        self._changed = anyio.Event()
        self._running = anyio.CancelScope(shield=True)

    async def start(self, tasks: TaskGroup) -> None:
        """Run the application in `tasks`, and wait until it has started.

        Raises:
            NoAnswerError: the startup failed, or no answer came in time. The cause is what the
                application raised.
            Exception: what the application raised after its startup.
        """
        tasks.start_soon(self._run)
        try:
            with anyio.move_on_after(self._patience):
                await self._request("startup")
            self._check("startup")
        except BaseException:
            self._running.cancel()
            raise

    async def stop(self) -> None:
        """Shut the application down, and wait until it has. Raises as `start`."""
        with anyio.move_on_after(self._patience, shield=True):
            await self._request("shutdown")
        self._running.cancel()
        self._check("shutdown")

    async def _run(self) -> None:
        with self._to_app, self._from_test, self._running:
            try:
                await self._app(self._scope, self._from_test.receive, self._send)
            except Exception as error:
                self._error = error
            finally:
                self._ended = True
                self._changed.set()

    async def _send(self, message: Message) -> None:
        self._answers[message["type"]] = message
        self._changed.set()
        self._changed = anyio.Event()

    async def _request(self, phase: str) -> None:
        """Send ``lifespan.<phase>``, and wait for the answer or for the end of the application."""
        if self._ended:
            return
        self._to_app.send_nowait({"type": f"lifespan.{phase}"})
        while not (self._ended or any(phase in answer for answer in self._answers)):
            await self._changed.wait()

    def _check(self, phase: str) -> None:
        failed, complete = f"lifespan.{phase}.failed", f"lifespan.{phase}.complete"
        if failed in self._answers:
            reason = self._answers[failed].get("message") or "without a message"
            raise NoAnswerError(f"{failed}: {reason}") from self._error
        if self._error is not None and "lifespan.startup.complete" in self._answers:
            raise self._error
        if complete not in self._answers and not self._ended:
            raise NoAnswerError(f"no {complete} within patience={self._patience:g} s")
