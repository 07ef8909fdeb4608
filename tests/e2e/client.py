"""HTTP/1.1 and HTTP/2 clients that can do to a server what browsers and broken networks do.

Every wait is bounded by the socket's timeout.
"""

import json
import socket
import struct
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Any, Self

import h2.config
import h2.connection
import h2.errors
import h2.events
import h11

from sse_middleware.wire import EventStreamDecoder
from sse_middleware.wire.decoding import Decoded
from tests.patience import PATIENCE

HOST = "127.0.0.1"
RECEIVED_AT_ONCE = 64 * 1024
SMALL = 1024
"""Bytes of a small receive buffer; the kernel rounds it up to what it can work with."""

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class BrokenBodyError(Exception):
    """The connection or the stream ended, and the body was not complete."""


@dataclass(frozen=True)
class ResponseHead:
    """The status line and the headers of a response, their names in lower case."""

    status: int
    headers: Mapping[str, str]


class Client(ABC):
    """One connection that makes one request at a time.

    Args:
        port: where the server listens.
        small_buffer: whether the kernel takes next to nothing that is not read.
    """

    def __init__(self, port: int, *, small_buffer: bool = False) -> None:
        self._socket = socket.socket()
        self._socket.settimeout(PATIENCE)
        if small_buffer:  # before the first window is offered
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        self._socket.connect((HOST, port))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    @abstractmethod
    def begin(
        self, method: str, target: str, size: int = 0, headers: Mapping[str, str] = NO_HEADERS
    ) -> None:
        """Send the head of a request with a body of `size` bytes, and don't wait for anything."""

    @abstractmethod
    def send_body(self, body: bytes) -> None:
        """Send the body that was announced."""

    @abstractmethod
    def head(self) -> ResponseHead:
        """Wait for the head of the response."""

    @abstractmethod
    def read(self) -> bytes:
        """Return some more of the body, or ``b""`` when it is complete.

        Raises:
            BrokenBodyError: it will never be.
        """

    def request(self, method: str, target: str, body: bytes = b"") -> ResponseHead:
        """Send a whole request and return the head of its response."""
        self.begin(method, target, len(body))
        if body:
            self.send_body(body)
        return self.head()

    def get(self, target: str, headers: Mapping[str, str] = NO_HEADERS) -> ResponseHead:
        self.begin("GET", target, headers=headers)
        return self.head()

    def body(self) -> bytes:
        """Return the rest of the body."""
        return b"".join(iter(self.read, b""))

    def drain(self) -> None:
        """Read what arrives, without looking at it, until the connection ends."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_AT_ONCE)
        while self._receive():
            pass

    def json(self) -> Any:
        return json.loads(self.body())

    def events(self) -> Iterator[Decoded]:
        """Iterate over what the stream means, as it arrives."""
        decoder = EventStreamDecoder()
        for chunk in iter(self.read, b""):
            yield from decoder.feed(chunk)

    def fin(self) -> None:
        """Send FIN: say that nothing more will come, and leave what the server sends unread.

        Closing the socket would send RST instead if something that arrived was not read.
        """
        self._socket.shutdown(socket.SHUT_WR)

    def give_up_after(self, seconds: float) -> None:
        """Wait no longer than this for what arrives; it is a `TimeoutError` then."""
        self._socket.settimeout(seconds)

    def rst(self) -> None:
        """Send RST: break the connection off."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def _receive(self) -> bytes:
        """Return what arrives next, or ``b""`` at the end of the connection, however it ends."""
        try:
            return self._socket.recv(RECEIVED_AT_ONCE)
        except ConnectionResetError:
            return b""


class Http1Client(Client):
    """HTTP/1.1."""

    def __init__(self, port: int, *, small_buffer: bool = False) -> None:
        super().__init__(port, small_buffer=small_buffer)
        self._http = h11.Connection(h11.CLIENT)

    def begin(
        self, method: str, target: str, size: int = 0, headers: Mapping[str, str] = NO_HEADERS
    ) -> None:
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        own = [("Host", HOST), ("Content-Length", str(size))]
        self._send(h11.Request(method=method, target=target, headers=[*own, *headers.items()]))
        if size == 0:
            self._send(h11.EndOfMessage())

    def send_body(self, body: bytes) -> None:
        self._send(h11.Data(data=body))
        self._send(h11.EndOfMessage())

    def head(self) -> ResponseHead:
        while True:
            event = self._next_event()
            if isinstance(event, h11.Response | h11.InformationalResponse) and (
                event.status_code == 101 or event.status_code >= 200
            ):
                return ResponseHead(event.status_code, _mapping(event.headers))

    def shake_hands(self, target: str) -> ResponseHead:
        """Ask for a WebSocket, and return the answer."""
        headers = [
            ("Host", HOST),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),  # the example of RFC 6455
        ]
        self._send(h11.Request(method="GET", target=target, headers=headers))
        self._send(h11.EndOfMessage())
        return self.head()

    def read(self) -> bytes:
        while True:
            match self._next_event():
                case h11.Data(data=data) if data:
                    return bytes(data)
                case h11.EndOfMessage():
                    return b""

    def _send(self, event: h11.Event) -> None:
        self._socket.sendall(self._http.send(event) or b"")

    def _next_event(self) -> Any:
        while (event := self._parse()) is h11.NEED_DATA:
            self._http.receive_data(self._receive())
        return event

    def _parse(self) -> Any:
        try:
            event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise BrokenBodyError(str(error)) from error
        if isinstance(event, h11.ConnectionClosed):
            raise BrokenBodyError("no answer")
        return event


class Http2Client(Client):
    """HTTP/2 by prior knowledge, one stream at a time."""

    def __init__(self, port: int, *, small_buffer: bool = False) -> None:
        super().__init__(port, small_buffer=small_buffer)
        configuration = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self._http = h2.connection.H2Connection(configuration)
        self._http.initiate_connection()
        self._flush()
        self._stream = 0
        self._head: ResponseHead | None = None
        self._chunks: deque[bytes] = deque()
        self._broken = ""

    def begin(
        self, method: str, target: str, size: int = 0, headers: Mapping[str, str] = NO_HEADERS
    ) -> None:
        self._stream = self._http.get_next_available_stream_id()
        self._head = None
        pseudo = {":method": method, ":path": target, ":scheme": "http", ":authority": HOST}
        everything = [*pseudo.items(), *headers.items()]
        self._http.send_headers(self._stream, everything, end_stream=size == 0)
        self._flush()

    def send_body(self, body: bytes) -> None:
        while body:
            body = self._send_some(body)

    def head(self) -> ResponseHead:
        while self._head is None:
            self._advance()
        return self._head

    def read(self) -> bytes:
        while not self._chunks:
            self._advance()
        return self._chunks.popleft()

    def reset_stream(self) -> None:
        """Cancel the request, as a browser does, and keep the connection."""
        self._http.reset_stream(self._stream, h2.errors.ErrorCodes.CANCEL)
        self._flush()

    def _send_some(self, body: bytes) -> bytes:
        """Send as much as the server takes, and return the rest."""
        window = self._http.local_flow_control_window(self._stream)
        size = min(window, self._http.max_outbound_frame_size, len(body))
        if size == 0:
            self._advance()
            return body
        self._http.send_data(self._stream, body[:size], end_stream=size == len(body))
        self._flush()
        return body[size:]

    def _flush(self) -> None:
        self._socket.sendall(self._http.data_to_send())

    def _advance(self) -> None:
        """Take what arrives next."""
        data = b"" if self._broken else self._receive()
        if not data:
            raise BrokenBodyError(self._broken or "the connection ended")
        for event in self._http.receive_data(data):
            self._take(event)
        self._flush()

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived(stream_id=self._stream):
                headers = _mapping(event.headers)
                self._head = ResponseHead(int(headers[":status"]), headers)
            case h2.events.DataReceived(stream_id=self._stream):
                self._chunks.extend([event.data] if event.data else [])
                size = event.flow_controlled_length
                self._http.acknowledge_received_data(size, self._stream)
            case h2.events.StreamEnded(stream_id=self._stream):
                self._chunks.append(b"")
            case h2.events.StreamReset(stream_id=self._stream):
                self._broken = f"the stream was reset: {event.error_code}"


def _mapping(headers: Any) -> dict[str, str]:
    """Return headers by their names; bytes (as h11 has them) become text."""

    def text(part: bytes | str) -> str:
        return part if isinstance(part, str) else part.decode("latin-1")

    return {text(name): text(value) for name, value in headers}
