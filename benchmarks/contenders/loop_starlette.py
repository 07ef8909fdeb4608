"""A hand-written loop that sends keep-alives and nothing else: the least that any stream costs.

It runs under Starlette. It encodes nothing, has no limits, cleans nothing up, and doesn't watch the
client. All streams share their timers, as ours do.
"""

import asyncio

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.contenders.items import FRAME

PING = b": ping\n\n"
PARTS = 5
"""Rounds of keep-alives in a period."""


class Rounds:
    """The streams that wake up together."""

    def __init__(self, period: float) -> None:
        self._part = period / PARTS
        self._sleepers: dict[int, list[asyncio.Future[None]]] = {}

    def sleep(self) -> asyncio.Future[None]:
        """Return a future that is done when a period has passed, or a little sooner."""
        loop = asyncio.get_running_loop()
        sleeper = loop.create_future()
        number = int(loop.time() / self._part) + PARTS
        if number not in self._sleepers:
            self._sleepers[number] = []
            loop.call_at(number * self._part, self._wake, number)
        self._sleepers[number].append(sleeper)
        return sleeper

    def _wake(self, number: int) -> None:
        for sleeper in self._sleepers.pop(number):
            if not sleeper.done():
                sleeper.set_result(None)


def pinged(rounds: Rounds) -> ASGIApp:
    async def respond(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send(body(FRAME))
        while True:
            await rounds.sleep()
            await send(body(PING))

    return respond


def body(frame: bytes) -> Message:
    return {"type": "http.response.body", "body": frame, "more_body": True}


ROUNDS: dict[float, Rounds] = {}


async def get_pinged(request: Request) -> ASGIApp:
    period = float(request.query_params["period"])
    return pinged(ROUNDS.setdefault(period, Rounds(period)))


app = Starlette(routes=[Route("/pinged", get_pinged)])
