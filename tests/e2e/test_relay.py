"""A relay between real sockets: a slow client slows the upstream, and one that leaves closes it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.examples.test_app import wait_for
from tests.patience import PATIENCE

from .servers import free_port

pytestmark = pytest.mark.e2e

BLOCKED = 1.0
"""Seconds in which an upstream can send nothing when it is blocked."""

MOST = 64 * 1024 * 1024
"""Bytes that the kernel's buffers may hold on the way, at the very most."""

SERVERS = {
    "uvicorn": ("uvicorn", "tests.e2e.relay_app:app", "--log-level", "warning", "--port"),
    "hypercorn-trio": ("hypercorn", "tests.e2e.relay_app:app", "-w", "0", "-k", "trio", "-b"),
}

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
EVENTS = b"data: %b\n\n" % (b"x" * 1000) * 100


class Upstream(Thread):
    """Sends events to its only client as fast as that takes them."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.sent = 0
        self.blocked = Event()
        """Set while nothing can be sent."""
        self.goes_on = Event()
        """Set when something could be sent after that."""
        self.left = Event()
        """Set when the client has left."""

    def run(self) -> None:
        connection, _ = self._listening.accept()
        with closing(self._listening), closing(connection):
            connection.recv(65536)
            connection.sendall(HEAD)
            connection.settimeout(BLOCKED)
            rest = EVENTS
            while True:
                try:
                    sent = connection.send(rest)
                except TimeoutError:
                    self.blocked.set()
                    continue
                except OSError:
                    self.left.set()
                    return
                self.sent += sent
                rest = rest[sent:] or EVENTS
                if self.blocked.is_set():
                    self.goes_on.set()


@contextmanager
def gateway(name: str, upstream: int) -> Iterator[int]:
    port = free_port()
    *command, option = SERVERS[name]
    address = f"127.0.0.1:{port}" if option == "-b" else str(port)
    environment = {**os.environ, "UPSTREAM": f"http://127.0.0.1:{upstream}/"}
    with subprocess.Popen(
        [sys.executable, "-m", *command, option, address],
        env=environment,
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            wait_for(port, process)
            yield port
        finally:
            process.kill()


@pytest.mark.parametrize("name", SERVERS)
def test_a_client_that_does_not_read_stops_the_upstream(name: str) -> None:
    upstream = Upstream()
    upstream.start()
    with gateway(name, upstream.port) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: gateway\r\n\r\n")
            assert upstream.blocked.wait(PATIENCE)
            held = upstream.sent
            assert held < MOST
            read = 0
            while not upstream.goes_on.is_set():
                read += len(client.recv(1 << 20))
                assert read < MOST
        assert upstream.left.wait(PATIENCE)
