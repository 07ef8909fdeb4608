"""A session with answers in memory, in virtual time."""

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import anyio
import httpx

from sse_middleware.cli.tail.ending import Ending
from sse_middleware.cli.tail.follow import Follow, Policy
from sse_middleware.cli.tail.formats import EventText
from sse_middleware.cli.tail.measures import Measures
from sse_middleware.cli.tail.reading import Reading, Wanted
from sse_middleware.cli.tail.request import Request, request_of
from sse_middleware.cli.tail.session import Output, Parts, Session
from sse_middleware.cli.tail.terminal import Screen

STREAM = {"content-type": "text/event-stream"}

URL = "http://example.org/events"

LOST = httpx.ReadError("cut")

Step = bytes | float | Exception
"""Bytes that come, seconds that pass, or an error of the network."""

Answer = Callable[[httpx.Request], Awaitable[httpx.Response]]


class Body(httpx.AsyncByteStream):
    """A body that comes step by step."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self._steps = steps
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for step in self._steps:
            match step:
                case bytes():
                    yield step
                case Exception():
                    raise step
                case _:
                    await anyio.sleep(step)

    async def aclose(self) -> None:
        self.closed = True


def answer(*steps: Step, status: int = 200, after: float = 0, **headers: str) -> Answer:
    """Answer with a body, by default as an event stream. An underscore in a name is a hyphen."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {**STREAM, **named} if status == 200 else named

    async def respond(_request: httpx.Request) -> httpx.Response:
        await anyio.sleep(after)
        return httpx.Response(status, headers=sent, stream=Body(steps))

    return respond


def fail(error: Exception) -> Answer:
    async def respond(_request: httpx.Request) -> httpx.Response:
        raise error

    return respond


STOP = answer(status=204)


@dataclass
class Scene:
    """What a session asked and printed, and when."""

    request: Request = field(default_factory=lambda: request_of(URL))
    policy: Policy = field(default_factory=Policy)
    since: str = ""
    wanted: Wanted = field(default_factory=lambda: Wanted(EventText(coloured=False)))
    has_status: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    writing: float = 0
    """Seconds that each write takes."""

    asked: list[httpx.Request] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    """When it asked, in seconds since the beginning."""
    bodies: list[httpx.AsyncByteStream] = field(default_factory=list)
    printed: str = ""
    stderr: io.StringIO = field(default_factory=io.StringIO)
    ended_at: float = 0

    async def run(self, *answers: Answer) -> Ending:
        """Follow a stream. The last answer is for all further requests."""
        begin = anyio.current_time()
        async with self.session(self, *answers) as session, anyio.create_task_group() as tasks:
            tasks.start_soon(session.show_status)
            ending = await session.run()
            self.ended_at = anyio.current_time() - begin
            tasks.cancel_scope.cancel()
        assert all(getattr(body, "closed", True) for body in self.bodies)
        return ending

    @asynccontextmanager
    async def session(self, output: Output, *answers: Answer) -> AsyncIterator[Session]:
        begin = anyio.current_time()

        async def respond(request: httpx.Request) -> httpx.Response:
            self.asked.append(request)
            self.at.append(round(anyio.current_time() - begin, 3))
            response = await answers[min(len(self.asked), len(answers)) - 1](request)
            assert isinstance(response.stream, httpx.AsyncByteStream)
            self.bodies.append(response.stream)
            return response

        async with httpx.AsyncClient(transport=httpx.MockTransport(respond)) as client:
            yield Session(client, self._parts(begin, output), **self.options)

    def _parts(self, begin: float, output: Output) -> Parts[Any]:
        follow = Follow(self.policy, self.since, chance=lambda: 0)
        measures = Measures(begin)
        noon = datetime(2026, 11, 27, 12, tzinfo=UTC)
        reading = Reading(self.wanted, follow, measures, lambda: noon)
        screen = Screen(self.stderr, has_status=self.has_status)
        return Parts(self.request, follow, reading, measures, screen, output)

    async def write(self, data: bytes) -> None:
        await anyio.sleep(self.writing)
        self.printed += data.decode().replace("12:00:00.000 ", "")

    @property
    def ids(self) -> list[str | None]:
        return [request.headers.get("last-event-id") for request in self.asked]

    @property
    def told(self) -> list[str]:
        lines = self.stderr.getvalue().splitlines()
        return [line.removeprefix("sse_middleware tail: ") for line in lines]
