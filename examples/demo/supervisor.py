"""The parent of the demo's server: it keeps the listening sockets, and starts a worker anew.

Rules of this file:
- The sockets belong to the parent. While there is no worker, connections wait in their queues, and
  none is refused.
- A worker that ends is replaced, until the parent is told to stop. A worker whose parent is gone
  ends, too.
- The parent publishes numbers to the workers' hub, so they go on while there is no worker.
- There is more than one port. Over HTTP/1.1 a browser opens six connections to a port, for all tabs
  together. The page has more streams than that. In production, HTTP/2 has no such limit.
"""

import asyncio
import itertools
import multiprocessing
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

import uvicorn

from sse_middleware import Hub
from sse_middleware.errors import HubError

HOST = "127.0.0.1"
FURTHER_PORTS = 3
NUMBERS_PER_SECOND = 5
SEND_BUFFER = 65_536
"""Bytes of a connection. With the kernel's megabytes a slow client would look like a fast one."""

STOPPING = 10.0
"""Seconds that a worker has to end."""


def listening(port: int) -> socket.socket:
    """Return a socket that listens. Port 0 is any that is free.

    Raises:
        OSError: the port is taken.
    """
    server = socket.create_server((HOST, port), backlog=512)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    return server


def serve(main: socket.socket, when_ready: Callable[[], object]) -> None:
    """Serve the demo until the process is told to stop, by SIGINT or SIGTERM."""
    sockets = [main, *(listening(0) for _ in range(FURTHER_PORTS))]
    ports = [each.getsockname()[1] for each in sockets]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="sse-demo-", ignore_cleanup_errors=True) as directory:
        url = f"sqlite:///{Path(directory, 'events.db').as_posix()}"
        os.environ["DEMO_HUB"] = url
        os.environ["DEMO_PORT"] = str(ports[0])
        os.environ["DEMO_PORTS"] = ",".join(map(str, ports[1:]))
        threading.Thread(target=asyncio.run, args=[publish_numbers(url)], daemon=True).start()
        _supervise(sockets, when_ready)


async def publish_numbers(url: str) -> None:
    """Publish 1, 2, 3 and so on, for as long as the process lasts."""
    async with Hub(url) as hub:
        for number in itertools.count(1):
            published = False
            while not published:
                await asyncio.sleep(1 / NUMBERS_PER_SECOND)
                with suppress(HubError):  # the file is busy: once more, and never twice
                    item = {"number": number, "at": time.time() * 1000}
                    await hub.publish("numbers", item, event="number", once=str(number))
                    published = True


def _supervise(sockets: list[socket.socket], when_ready: Callable[[], object]) -> None:
    worker: BaseProcess | None = None
    try:
        for life in itertools.count():
            worker = multiprocessing.get_context("spawn").Process(target=work, args=[sockets])
            worker.start()
            if life == 0:
                when_ready()
            worker.join()
            if worker.exitcode is not None and worker.exitcode > 0:
                raise SystemExit(worker.exitcode)  # it can't start, and has said why
    except KeyboardInterrupt:
        if worker is not None:
            _end(worker)


def _end(worker: BaseProcess) -> None:
    """Tell a worker to end, and wait until it has. More signals change nothing."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    worker.terminate()
    worker.join(STOPPING)
    if worker.is_alive():
        worker.kill()
        worker.join()


def work(sockets: list[socket.socket]) -> None:
    """Serve the application. This is what a worker runs."""
    threading.Thread(target=_follow_the_parent, daemon=True).start()
    config = uvicorn.Config(
        "examples.demo.app:app", log_level="warning", timeout_graceful_shutdown=5
    )
    uvicorn.Server(config).run(sockets)


def _follow_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
