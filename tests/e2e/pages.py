"""Pages of a browser that view runs, at whichever worker a test sends them to.

Rules of this file:
- A page does what its ``EventSource`` does: it comes back with its last id, until it is told 204.
- What an incomplete event had is forgotten with its connection.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any

import anyio
import httpx
from anyio.abc import TaskGroup

from sse_middleware.wire.decoding import EventStreamDecoder, MessageEvent

from .workers import Worker

RETRY = 0.02
"""Seconds after which a page comes back."""


class Page:
    """A page that views one run.

    Args:
        client: makes its requests.
        worker: which one it asks.
        target: what it asks for.
    """

    def __init__(self, client: httpx.AsyncClient, worker: Worker, target: str) -> None:
        self.worker = worker
        self.tokens: list[str] = []
        self.failures: list[str] = []
        """What `error_event` told."""
        self.gaps: list[int] = []
        """How many tokens it had when it was told each gap."""
        self.connections = 0
        self.over = anyio.Event()
        """Set when it doesn't come back any more."""
        self.told_at = 0.0
        """When it had the last event, in seconds of `monotonic`."""
        self._client = client
        self._target = target
        self._last_id = ""
        self._cut_at = 0
        self._moved = anyio.Event()
        self._visit_scope = anyio.CancelScope()

    async def run(self) -> None:
        """Come again until there is nothing more."""
        while not self.over.is_set():
            with anyio.CancelScope() as self._visit_scope, suppress(httpx.TransportError):
                await self._visit()
            await anyio.sleep(RETRY)

    async def _visit(self) -> None:
        headers = {"Last-Event-ID": self._last_id} if self._last_id else {}
        url = f"{self.worker.url}{self._target}"
        async with self._client.stream("GET", url, headers=headers) as response:
            self.connections += 1
            self._wake()
            if response.status_code == httpx.codes.NO_CONTENT:
                self.over.set()
                return
            assert response.status_code == httpx.codes.OK, await response.aread()
            decoder = EventStreamDecoder(last_event_id=self._last_id)
            async for piece in response.aiter_bytes():
                if self._visit_scope.cancel_called:  # the page has moved on
                    return
                for event in decoder.feed(piece):
                    if isinstance(event, MessageEvent):
                        self._take(event)
                self._last_id = decoder.last_event_id
                self._wake()

    def _take(self, event: MessageEvent) -> None:
        self.told_at = monotonic()
        match event.type:
            case "message":
                self.tokens.append(event.data)
            case "failed":
                self.failures.append(event.data)
            case _:
                self.gaps.append(len(self.tokens))

    def _wake(self) -> None:
        self._moved.set()
        self._moved = anyio.Event()

    async def has(self, tokens: int) -> None:
        """Wait until it has this number of tokens."""
        while len(self.tokens) < tokens:
            assert not self.over.is_set(), f"it was told the end after {len(self.tokens)} tokens"
            await self._moved.wait()

    async def is_back(self, tokens: int) -> None:
        """Wait until it has this number of tokens, and a connection since the last cut."""
        while self.connections == self._cut_at:
            await self._moved.wait()
        await self.has(tokens)

    def cut(self, worker: Worker) -> None:
        """Break its connection. It comes back to this worker."""
        self.worker = worker
        self._cut_at = self.connections
        self._visit_scope.cancel()

    def reload(self, worker: Worker) -> None:
        """Have it forget everything, and come to this worker."""
        self.tokens.clear()
        self._last_id = ""
        self.cut(worker)


class Browser:
    """Opens pages, and asks for other things."""

    def __init__(self, client: httpx.AsyncClient, tasks: TaskGroup) -> None:
        self._client = client
        self._tasks = tasks

    def open(self, worker: Worker, target: str) -> Page:
        page = Page(self._client, worker, target)
        self._tasks.start_soon(page.run)
        return page

    async def get(self, worker: Worker, target: str) -> Any:
        return (await self._client.get(f"{worker.url}{target}")).raise_for_status().json()

    async def post(self, worker: Worker, target: str) -> Any:
        return (await self._client.post(f"{worker.url}{target}")).raise_for_status().json()

    async def whole(self, worker: Worker, target: str) -> Page:
        """Return a page that was opened and has come to the end."""
        page = self.open(worker, target)
        await page.over.wait()
        return page


@asynccontextmanager
async def browser(longest: float) -> AsyncIterator[Browser]:
    """Open a browser, for this number of seconds at most."""
    with anyio.fail_after(longest):
        async with httpx.AsyncClient(timeout=longest) as client, anyio.create_task_group() as tasks:
            yield Browser(client, tasks)
            tasks.cancel_scope.cancel()
