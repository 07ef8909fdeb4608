"""Serves the application of a page from a thread, so that a test can look into it meanwhile."""

import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvicorn
from anyio.from_thread import BlockingPortal, start_blocking_portal


@dataclass(frozen=True)
class Served:
    """An application that is being served."""

    url: str
    portal: BlockingPortal

    def call(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """Run an asynchronous function in the event loop of the server, and return its result."""
        return self.portal.call(function, *arguments)


@contextmanager
def served(app: Any) -> Iterator[Served]:
    """Serve an application as long as the block lasts.

    The socket listens from the beginning, so no client comes too early.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    with start_blocking_portal() as portal:
        serving = portal.start_task_soon(partial(server.serve, sockets=[listening]))
        try:
            yield Served(f"http://127.0.0.1:{listening.getsockname()[1]}", portal)
        finally:
            server.should_exit = True
            serving.result()
