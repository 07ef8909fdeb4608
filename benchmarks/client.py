"""The client: only sockets and bytes, so that it is never slower than a server.

Rules of this file:
- Events are counted in the buffer that the socket filled, without a copy and without parsing.
- A stream counts only if it is complete: the response is a 200, every event arrived, and the body
  ended as HTTP requires.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

EVENT = b'{"id"'
"""Occurs once in every event of every contender, whatever they write around the data."""

LAST_CHUNK = b"0\r\n\r\n"
"""The end of a chunked body (RFC 9112, 7.1)."""

OK = b"HTTP/1.1 200"
"""The status line of a stream."""

BUFFER_SIZE = 1 << 20
TIMEOUT = 60.0
"""Seconds of silence after which the client gives a server up."""


class IncompleteError(Exception):
    """A stream did not arrive as a whole."""


def events_per_second(port: int, path: str, count: int) -> float:
    """Ask for `count` events and return how many arrived per second."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
        start = time.perf_counter()
        request(connection, f"{path}?n={count}")
        arrived = count_events(connection)
        seconds = time.perf_counter() - start
    if arrived != count:
        raise IncompleteError(f"{arrived} of {count} events of {path} arrived")
    return count / seconds


@contextmanager
def idle_streams(
    port: int, count: int, path: str = "/idle", seconds: float = 0
) -> Iterator[list[socket.socket]]:
    """Hold `count` streams open. They are opened evenly over `seconds`, by default at once."""
    with ExitStack() as connections:
        streams = []
        start = time.monotonic()
        for number in range(count):
            time.sleep(max(0, start + seconds * number / count - time.monotonic()))
            connection = socket.create_connection(("127.0.0.1", port), TIMEOUT)
            streams.append(connections.enter_context(connection))
            request(connection, path)
            wait_for_event(connection)
        yield streams


def request(connection: socket.socket, target: str) -> None:
    """Ask for a stream and wait for its status line, which stays unread."""
    send_request(connection, target)
    status = connection.recv(len(OK), socket.MSG_PEEK)
    if status != OK:
        raise IncompleteError(f"{target} was answered by {status!r}")


def send_request(connection: socket.socket, target: str) -> None:
    accept = "Accept: text/event-stream\r\n"  # as an EventSource does
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{accept}\r\n".encode())


def count_events(connection: socket.socket) -> int:
    """Read a response to its end and return the number of its events."""
    buffer = bytearray(BUFFER_SIZE)
    view = memoryview(buffer)
    events = kept = 0
    while size := connection.recv_into(view[kept:]):
        end = kept + size
        events += buffer.count(EVENT, 0, end)
        if buffer.endswith(LAST_CHUNK, 0, end):
            return events
        # An event may be split between two reads: keep what is too short for a whole EVENT.
        kept = min(len(EVENT) - 1, end)
        view[:kept] = buffer[end - kept : end]
    raise IncompleteError(f"the connection was closed after {events} events")


def wait_for_event(connection: socket.socket) -> None:
    received = b""
    while EVENT not in received:
        piece = connection.recv(BUFFER_SIZE)
        if not piece:
            raise IncompleteError(f"the connection was closed after {received!r}")
        received += piece
