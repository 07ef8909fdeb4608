"""What clients do, and what the server may say of each of them when it is over.

A behaviour is given a connection and a source of chance. It raises if it was not answered as it
should have been. Where a slow machine may be too late for what is meant, more than one reason is
named.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

from sse_middleware import CloseReason
from sse_middleware.wire import Comment, MessageEvent
from tests.e2e.client import BrokenBodyError

from .app import SEND_TIMEOUT
from .decoding import CODINGS
from .visit import Visit

Act = Callable[[Visit, Random], Awaitable[None]]

EVENTS = "text/event-stream"
ENDLESS = {"events": 10**9}
LEFT = frozenset({CloseReason.CLIENT_DISCONNECTED})
FINISHED = frozenset({CloseReason.FINISHED})
FAILED = frozenset({CloseReason.ERROR})
STALLED = frozenset({CloseReason.SEND_TIMEOUT, CloseReason.CLIENT_DISCONNECTED})
"""Also of what leaves a flow by half: the rest is to be read first, and may take its time."""
NO_STREAM = frozenset[CloseReason]()


READS_ON = 3.0
"""Seconds that a client which has stalled reads on, if the server has not given it up."""


@dataclass(frozen=True)
class Behaviour:
    """What one client does.

    Attributes:
        name: what the client calls itself.
        act: does it.
        reasons: why the server may have closed its streams.
        weight: how often it is chosen, among the others.
        small_buffer: whether the kernel takes next to nothing that is not read.
    """

    name: str
    act: Act
    reasons: frozenset[CloseReason]
    weight: int = 4
    small_buffer: bool = False


def check(holds: bool, what: object) -> None:
    if not holds:
        raise AssertionError(what)


async def check_broken(visit: Visit, events: int) -> None:
    """Read this many events, and then no end of the body."""
    try:
        found = await visit.numbers()
    except BrokenBodyError:
        check(visit.events == events, f"{visit.events} events instead of {events}")
    else:
        raise AssertionError(f"the body is complete: {found}")


async def leave(visit: Visit, chance: Random) -> None:
    """Leave by FIN, by RST, or by half."""
    match chance.choice(["fin", "rst", "half"]):
        case "fin":
            visit.fin()
        case "rst":
            visit.rst()
        case "half":
            visit.half_close()
            await visit.until_the_end()


def reads(path: str, *, accept: str = EVENTS, pause: float = 0.0, most: int = 300) -> Act:
    async def act(visit: Visit, chance: Random) -> None:
        events = chance.randint(0, most)
        options: dict[str, Any] = {"events": events, "size": chance.choice([1, 100, 2000])}
        if pause:
            options["pause"] = chance.uniform(0, pause)
        check(await visit.get(path, accept=accept, **options) == 200, "status")
        check(await visit.numbers() == list(range(events)), "the events are others")

    return act


def reads_compressed(path: str, most: int) -> Act:
    async def act(visit: Visit, chance: Random) -> None:
        events, coding = chance.randint(0, 20), chance.choice(CODINGS)
        size = chance.randint(1, most)  # a large one is compressed in a thread
        check(await visit.get(path, encoding=coding, events=events, size=size) == 200, "status")
        check(visit.headers[b"content-encoding"] == coding.encode(), visit.headers)
        check(await visit.numbers() == list(range(events)), "the events are others")

    return act


def leaves_idle(path: str, *, accept: str = EVENTS, encodings: tuple[str, ...] = ("",)) -> Act:
    async def act(visit: Visit, chance: Random) -> None:
        encoding = chance.choice(encodings)
        await visit.get(path, accept=accept, encoding=encoding, events=1, end="stay")
        await visit.first(MessageEvent)
        if chance.random() < 0.8:
            await visit.first(Comment, chance.randint(1, 6))
        await leave(visit, chance)

    return act


def leaves_flow(path: str, *, accept: str = EVENTS, encodings: tuple[str, ...] = ("",)) -> Act:
    async def act(visit: Visit, chance: Random) -> None:
        options: dict[str, Any] = {"accept": accept, "encoding": chance.choice(encodings)}
        pause = chance.choice([0, 0.001])
        await visit.get(path, size=chance.randint(1, 4000), pause=pause, **ENDLESS, **options)
        await visit.first(MessageEvent, chance.randint(1, 50))
        await leave(visit, chance)

    return act


def stalls(path: str, *, accept: str = EVENTS, encoding: str = "") -> Act:
    """Make what reads nothing for longer than the server waits."""

    async def act(visit: Visit, chance: Random) -> None:
        options: dict[str, Any] = {"accept": accept, "encoding": encoding, **ENDLESS}
        await visit.begin(path, size=16_000, **options)
        await asyncio.sleep(SEND_TIMEOUT + chance.uniform(1, 3))
        if chance.random() < 0.5:
            with suppress(TimeoutError):  # a slow machine's server may not have noticed
                async with asyncio.timeout(READS_ON):
                    await visit.until_the_end()
        visit.rst()

    return act


async def stalls_shortly(visit: Visit, chance: Random) -> None:
    await visit.get("/events", size=16_000, **ENDLESS)
    await asyncio.sleep(chance.uniform(0, SEND_TIMEOUT / 2))
    await visit.first(MessageEvent, 50)
    visit.rst()


def fails_first(path: str, *, accept: str = EVENTS) -> Act:
    async def act(visit: Visit, _: Random) -> None:
        status = await visit.get(path, accept=accept, events=0, end="raise")
        check(status == 500, f"status {status}")
        await visit.body()

    return act


def fails_later(path: str, *, own: int = 0, pause: float = 0.0) -> Act:
    """Make what reads the events before a failure, and this many of the middleware's own."""

    async def act(visit: Visit, chance: Random) -> None:
        events = chance.randint(1, 50)
        options: dict[str, Any] = {"events": events, "end": "raise", "pause": pause}
        check(await visit.get(path, accept=EVENTS, **options) == 200, "status")
        if not own:
            return await check_broken(visit, events)
        try:
            await visit.first(MessageEvent, events + own + 1)
        except BrokenBodyError as error:
            check(visit.events == events + own, f"{visit.events} events: {error}")
        else:
            raise AssertionError("more events than there are")

    return act


async def picks_the_first(visit: Visit, _: Random) -> None:
    status = await visit.get("/picky", events=3, bad=0)
    check(status == 500, f"status {status}")
    await visit.body()


async def picks_a_later_one(visit: Visit, chance: Random) -> None:
    bad = chance.randint(1, 20)
    check(await visit.get("/picky", events=30, bad=bad) == 200, "status")
    await check_broken(visit, bad)


async def picks_and_goes_on(visit: Visit, _: Random) -> None:
    check(await visit.get("/picky", events=5, bad=2, catch=1) == 200, "status")
    check(await visit.numbers() == [0, 1, 3, 4], "the events are others")


def is_sent_away(path: str) -> Act:
    """Make what reads to the end of a body that the server ends in good order."""

    async def act(visit: Visit, _: Random) -> None:
        check(await visit.get(path, events=1, end="stay") == 200, "status")
        check(await visit.numbers() == [0], "the events are others")

    return act


def leaves_before_the_first_event(path: str) -> Act:
    async def act(visit: Visit, chance: Random) -> None:
        await visit.begin(path, accept=EVENTS, first=60, events=1)
        await asyncio.sleep(chance.choice([0, 0.01, 0.1, 0.5]))
        visit.fin() if chance.random() < 0.5 else visit.rst()

    return act


async def says_half(visit: Visit, chance: Random) -> None:
    await visit.send(b"GET /events?events=1 HTTP/1.1\r\nHo")
    await asyncio.sleep(chance.uniform(0, 0.1))
    visit.fin()


async def comes_again(visit: Visit, chance: Random) -> None:
    """Make several requests on one connection."""
    for _ in range(chance.randint(2, 5)):
        await reads("/events", most=10)(visit, chance)
        await visit.get("/plain")
        check(await visit.body() == b"plain", "plain")


async def takes_lines(visit: Visit, _: Random) -> None:
    """Take the body as it is, which then is not a stream."""
    await visit.get("/ndjson", accept="application/x-ndjson", events=20)
    check((await visit.body()).count(b"\n") == 20, "the lines are others")


async def polls(visit: Visit, chance: Random) -> None:
    check(await visit.get("/ticks", accept=EVENTS) == 200, "status")
    await visit.first(MessageEvent, chance.randint(1, 4))
    await leave(visit, chance)


async def posts(visit: Visit, _: Random) -> None:
    await visit.get("/echo", accept=EVENTS, body=b"[1,2,3]")
    await visit.first(MessageEvent, 4)
    check(await visit.read() == b"", "more than was sent")


BEHAVIOURS = [
    Behaviour("reads", reads("/events"), FINISHED, 10),
    Behaviour("reads slowly made", reads("/events", pause=0.1, most=30), FINISHED),
    Behaviour("reads compressed", reads_compressed("/compressed", 50_000), FINISHED),
    Behaviour("reads a thread's", reads("/in-thread"), FINISHED),
    Behaviour("reads a slow thread's", reads("/in-thread", pause=0.1, most=10), FINISHED, 2),
    Behaviour(
        "reads a thread's compressed", reads_compressed("/in-thread-compressed", 9000), FINISHED, 2
    ),
    Behaviour("reads foreign events", reads("/foreign"), FINISHED),
    Behaviour("reads lines as events", reads("/ndjson"), FINISHED),
    Behaviour("takes lines", takes_lines, NO_STREAM, 1),
    Behaviour("comes again", comes_again, FINISHED),
    Behaviour("posts", posts, FINISHED, 2),
    Behaviour("polls", polls, LEFT, 3),
    Behaviour("says half", says_half, NO_STREAM, 1),
    Behaviour("leaves an idle one", leaves_idle("/pings"), LEFT, 12),
    Behaviour("leaves an idle compressed", leaves_idle("/compressed", encodings=CODINGS), LEFT, 8),
    Behaviour("leaves an idle foreign", leaves_idle("/foreign"), LEFT),
    Behaviour("leaves idle lines", leaves_idle("/ndjson"), LEFT),
    Behaviour("leaves a flow", leaves_flow("/events"), STALLED),
    Behaviour("leaves a compressed flow", leaves_flow("/compressed", encodings=CODINGS), STALLED),
    Behaviour("leaves a thread's flow", leaves_flow("/in-thread"), STALLED),
    Behaviour("leaves a foreign flow", leaves_flow("/foreign"), STALLED),
    Behaviour("leaves flowing lines", leaves_flow("/ndjson"), STALLED, 2),
    Behaviour("leaves first", leaves_before_the_first_event("/pings"), LEFT, 8),
    Behaviour("leaves a foreign first", leaves_before_the_first_event("/foreign"), LEFT),
    Behaviour("stalls", stalls("/events"), STALLED, 1, small_buffer=True),
    Behaviour("stalls in a thread's", stalls("/in-thread"), STALLED, 1, small_buffer=True),
    Behaviour("stalls in a foreign", stalls("/foreign"), STALLED, 1, small_buffer=True),
    Behaviour("stalls in lines", stalls("/ndjson"), STALLED, 1, small_buffer=True),
    Behaviour("stalls shortly", stalls_shortly, STALLED, 2, small_buffer=True),
    Behaviour("fails first", fails_first("/events"), FAILED),
    Behaviour("fails first in a thread", fails_first("/in-thread"), FAILED, 2),
    Behaviour("fails later", fails_later("/events"), FAILED),
    Behaviour("fails later still", fails_later("/events", pause=0.01), FAILED, 2),
    Behaviour("fails later in a thread", fails_later("/in-thread"), FAILED, 2),
    Behaviour("fails later compressed", fails_later("/compressed"), FAILED, 2),
    Behaviour("fails later in a foreign", fails_later("/foreign"), FAILED),
    Behaviour("fails later and is told", fails_later("/told", own=1), FAILED),
    Behaviour("picks the first", picks_the_first, FAILED, 2),
    Behaviour("picks a later one", picks_a_later_one, FAILED, 2),
    Behaviour("picks and goes on", picks_and_goes_on, FINISHED, 2),
    Behaviour("lives too long", is_sent_away("/short"), frozenset({CloseReason.MAX_DURATION})),
    Behaviour("is idle", is_sent_away("/bored"), frozenset({CloseReason.IDLE_TIMEOUT})),
]
