"""Scripted upstreams, whose responses are httpx's own, and what a client gets of a relay."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
from anyio.lowlevel import checkpoint

from tests.served import call

EVENTS = "text/event-stream; charset=utf-8"

Step = bytes | float | Exception
"""Bytes that come, seconds that pass, or an error."""


class Upstream(httpx.AsyncByteStream):
    """The body of an upstream. It is silent for ever after its steps, unless it `ends`."""

    def __init__(self, *steps: Step, ends: bool = True) -> None:
        self._steps = steps
        self._ends = ends
        self.reads = 0
        """How many chunks were read."""
        self.closed = anyio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for step in self._steps:
            await checkpoint()
            if isinstance(step, Exception):
                raise step
            if isinstance(step, bytes):
                self.reads += 1
                yield step
            else:
                await anyio.sleep(step)
        if not self._ends:
            await anyio.sleep_forever()

    async def aclose(self) -> None:
        self.closed.set()

    def response(self, status: int = 200, **headers: str) -> httpx.Response:
        """Return a response with this body."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.Response(status, headers={"content-type": EVENTS, **named}, stream=self)


def answering(*steps: Step, ends: bool = True) -> httpx.Response:
    """Return a response with these steps as its body."""
    return Upstream(*steps, ends=ends).response()


@dataclass
class Answer:
    """What a server was given to send."""

    head: dict[str, Any] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False
    error: Exception | None = None
    on_body: Callable[[bytes], object] = bytes

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.head = message
        else:
            self.body += message["body"]
            self.complete = not message["more_body"]
            self.on_body(message["body"])
        await checkpoint()

    @property
    def reason(self) -> str:
        return str(self.error)


async def answer_of(app: Any) -> Answer:
    """Call an application, and keep what it raises."""
    answer = Answer()
    try:
        await call(app, send=answer.send)
    except Exception as error:
        answer.error = error
    return answer
