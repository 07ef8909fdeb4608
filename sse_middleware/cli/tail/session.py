"""`Session`: follows a stream with httpx, as `Follow` decides, on asyncio.

Rules of this file:
- `Follow` decides what is done next, `Reading` what is printed. Here are only I/O and messages.
- Nothing is read from the network while something is printed. So a slow reader of the output holds
  the server back, and the clock of ``--idle-timeout`` stands still in that time.
- Redirects are followed as a browser follows them. Another origin gets neither the password nor the
  cookies.
"""

import socket
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar

import anyio
import httpx

from sse_middleware.cli.tail.answers import coding_problem, refusal_of, retry_after_of
from sse_middleware.cli.tail.ending import Ending
from sse_middleware.cli.tail.follow import Follow, State
from sse_middleware.cli.tail.measures import Measures, duration
from sse_middleware.cli.tail.problems import Problem, problem_of
from sse_middleware.cli.tail.reading import Reading
from sse_middleware.cli.tail.request import Request
from sse_middleware.cli.tail.terminal import Screen

MAX_REDIRECTS = 20

TICK = 1.0
"""Seconds after which the status line is drawn again."""

SILENCE = 2.0
"""Seconds without an event that are not worth a status line."""

_KEEP_ALIVE = (
    ("SO_KEEPALIVE", 1),
    ("TCP_KEEPIDLE", 30),
    ("TCP_KEEPINTVL", 10),
    ("TCP_KEEPCNT", 3),
)
"""The system notices within a minute that the other end is gone, however silent a stream is."""


class Output(Protocol):
    """Where events are printed."""

    async def write(self, data: bytes) -> None:
        """Write all of it, as fast as it is read."""
        ...


OutputT = TypeVar("OutputT", bound=Output)


@dataclass(frozen=True, slots=True)
class Parts(Generic[OutputT]):
    """What a session works with."""

    request: Request
    follow: Follow
    reading: Reading
    measures: Measures
    screen: Screen
    output: OutputT


class Session:
    """Follows one stream until it is closed.

    Args:
        client: sends the requests.
        parts: what it works with.
        compressed: whether the server may compress the stream.
        idle_timeout: seconds of silence after which a connection counts as lost; ``None`` for none.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        parts: Parts[Any],
        *,
        compressed: bool = False,
        idle_timeout: float | None = None,
    ) -> None:
        self._client = client
        self._request = parts.request
        self._follow = parts.follow
        self._reading = parts.reading
        self._measures = parts.measures
        self._screen = parts.screen
        self._output = parts.output
        self._compressed = compressed
        self._idle_timeout = idle_timeout
        self._since = 0.0  # when this state began
        self._last_byte = 0.0
        self._is_hint_given = False

    async def run(self) -> Ending:
        """Follow the stream. Returns how it ended, and has told why if that is no success.

        Raises:
            BrokenPipeError: nobody reads the output.
        """
        while self._follow.state is not State.CLOSED:
            self._since = anyio.current_time()
            if self._follow.state is State.WAITING:
                await self._wait()
            else:
                await self._connect()
        return self._follow.ending

    async def show_status(self) -> None:
        """Draw the status line again and again."""
        while self._screen.has_status:
            await anyio.sleep(TICK)
            self._screen.status(self._status(anyio.current_time()))

    def _status(self, now: float) -> str:
        since = now - self._since
        match self._follow.state:
            case State.WAITING:
                left = max(0.0, self._follow.delay - since)
                return f"connecting again in {_clock(left)}, retry {self._follow.retries}"
            case State.CONNECTING:
                return f"waiting for {self._request.origin} to answer, {_clock(since)}"
        silence = now - self._reading.silent_since
        if silence < SILENCE:
            return ""
        text = f"no event for {_clock(silence)}"
        if alive := self._reading.keep_alives:
            ago = _clock(now - self._last_byte)
            text += f", {alive} keep-alive{'s' * (alive > 1)}, the last {ago} ago"
        return text

    async def _wait(self) -> None:
        await anyio.sleep(self._follow.delay)
        self._follow.waited()

    async def _connect(self) -> None:
        try:
            with anyio.move_on_after(self._idle_timeout) as silence:
                response = await self._send()
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            self._failed(problem_of(error, self._request.origin))
            return
        if silence.cancelled_caught:
            self._lost_in_silence()
            return
        try:
            await self._answered(response)
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    async def _answered(self, response: httpx.Response) -> None:
        status, content_type = response.status_code, response.headers.get("content-type", "")
        self._follow.answered(status, content_type, retry_after_of(response))
        if self._follow.state is not State.OPEN:
            if self._follow.state is State.WAITING or self._follow.ending is not Ending.ENDED:
                self._tell(await refusal_of(response))
        elif problem := coding_problem(response, self._client.headers["accept-encoding"]):
            self._follow.refused()
            self._tell(problem)
        else:
            _keep_alive(response)
            self._reading.connected(anyio.current_time())
            await self._read(response)

    async def _read(self, response: httpx.Response) -> None:
        try:
            chunks = response.aiter_bytes()
            while self._follow.state is State.OPEN:
                with anyio.move_on_after(self._idle_timeout) as silence:
                    chunk = await anext(chunks, None)
                if silence.cancelled_caught:
                    self._lost_in_silence()
                elif chunk is None:
                    self._follow.ended()
                    self._tell_of_the_end()
                else:
                    await self._print(chunk)
        except httpx.HTTPError as error:
            self._follow.lost()
            self._tell(problem_of(error, self._request.origin).text)

    async def _print(self, chunk: bytes) -> None:
        self._last_byte = now = anyio.current_time()
        printed = self._reading.feed(chunk, now)
        if printed:
            with self._screen.without_status():
                await self._output.write(printed)
        if self._reading.problem:
            self._tell(self._reading.problem)

    def _tell_of_the_end(self) -> None:
        hint = "" if self._is_hint_given else " (--reconnect on-error would end here)"
        self._is_hint_given = True
        self._tell(f"the stream has ended{hint}")

    def _lost_in_silence(self) -> None:
        self._follow.lost()
        self._tell(f"nothing came for {duration(self._idle_timeout or 0)}")

    def _failed(self, problem: Problem) -> None:
        if problem.final:
            self._follow.refused()
        else:
            self._follow.unreachable()
        self._tell(problem.text)

    def _tell(self, text: str) -> None:
        """Tell what happened, and what is done about it."""
        follow = self._follow
        if follow.state is State.WAITING:
            self._screen.note(f"{_sentence(text)} Connecting again in {duration(follow.delay)}.")
        elif follow.ending is Ending.GAVE_UP and follow.retries:
            plural = "retries" if follow.retries > 1 else "retry"
            self._screen.error(f"{_sentence(text)} Gave up after {follow.retries} {plural}.")
        elif follow.ending is not Ending.ENDED:
            self._screen.error(_sentence(text))

    async def _send(self) -> httpx.Response:
        """Send the request, and follow redirects. Returns the response with its body unread."""
        cookie = [value for name, value in self._request.headers if name.lower() == b"cookie"]
        request = self._httpx_request()
        for _ in range(MAX_REDIRECTS):
            response = await self._client.send(request, stream=True)
            if response.next_request is None:
                return response
            await response.aclose()
            is_same = _origin_of(request) == _origin_of(response.next_request)
            request = response.next_request
            if cookie and is_same:  # httpx takes it away at every redirect
                request.headers["cookie"] = cookie[0].decode("latin-1")
        raise httpx.TooManyRedirects("too many redirects", request=request)

    def _httpx_request(self) -> httpx.Request:
        headers = list(self._request.headers)
        if not self._compressed and b"accept-encoding" not in {name.lower() for name, _ in headers}:
            headers.append((b"accept-encoding", b"identity"))
        if sent := self._follow.last_event_id_header():
            headers.append((b"last-event-id", sent))
        request = self._client.build_request(
            self._request.method, self._request.url, headers=headers, content=self._request.body
        )
        for name in self._request.without:
            request.headers.pop(name, None)
        return request


def _origin_of(request: httpx.Request) -> tuple[str, str, int | None]:
    return request.url.scheme, request.url.host, request.url.port


def _keep_alive(response: httpx.Response) -> None:
    """Have the system look from time to time whether the other end is still there."""
    stream = response.extensions.get("network_stream")
    connection = stream.get_extra_info("socket") if stream is not None else None
    if connection is None:
        return
    for name, value in _KEEP_ALIVE:
        level = socket.SOL_SOCKET if name.startswith("SO_") else socket.IPPROTO_TCP
        with suppress(AttributeError, OSError):  # not every system has all of them
            connection.setsockopt(level, getattr(socket, name), value)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?")) else f"{text}."


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole} s" if whole < 60 else str(timedelta(seconds=whole))  # noqa: PLR2004 - a minute
