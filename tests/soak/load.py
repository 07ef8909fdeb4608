"""The load: hundreds of clients that come and go at random, for a given time.

Next to clients that come one by one there are events with many: a burst of clients at once, a
storm of clients that break off together and come back together, and the drain of an application
whose streams are all of one sort: idle, busy, stalled, adopted, and one too many.
"""

import asyncio
from collections import Counter
from random import Random
from typing import Any

from sse_middleware import CloseReason
from sse_middleware.wire import MessageEvent
from sse_middleware.wire.decoding import ReconnectionTime

from .app import CLEANUP_TIMEOUT, FEW
from .behaviours import BEHAVIOURS, ENDLESS, EVENTS, LEFT, STALLED, Behaviour, check
from .visit import Visit

VISIT = 60.0
"""Seconds that a visit may take, on a machine that others use too."""

DRAIN = CLEANUP_TIMEOUT + 15.0
"""Seconds that a drain may take, likewise."""

EVENT_PAUSE = 6.0
"""Seconds between two such events."""

MOST_ERRORS = 20

RETURNS = 3
"""How often the clients of a storm come back."""

ALLOWED = {behaviour.name: behaviour.reasons for behaviour in BEHAVIOURS} | {
    "storms": LEFT,
    "is drained": frozenset({CloseReason.DRAINED}),
    "is drained while it stalls": frozenset({CloseReason.DRAINED}) | STALLED,
    "is one too many": frozenset({CloseReason.REFUSED, CloseReason.FINISHED}),
    "comes too late": frozenset({CloseReason.REFUSED}),
    "stays": frozenset({CloseReason.DRAINED}),
}
"""The reasons for which the streams of each name may be closed."""


class Load:
    """What clients did, and what went wrong.

    Args:
        port: where the server listens.
        seed: of all chance.
        guests: how many clients are there at a time, and how many take part in one of those events.
    """

    def __init__(self, port: int, seed: int, guests: int) -> None:
        self.visits: Counter[str] = Counter()
        self.events = 0
        self.at_once = self.most_at_once = 0
        self.drains: list[float] = []
        self.errors: list[str] = []
        self._port = port
        self._guests_at_a_time = guests
        self._chance = Random(seed)
        self._over = asyncio.Event()

    async def run(self, seconds: float) -> None:
        """Let clients come for this many seconds, and return when the last one has left."""
        self._over.clear()
        async with asyncio.TaskGroup() as group:
            for _ in range(self._guests_at_a_time):
                group.create_task(self._guests(self._another_chance()))
            group.create_task(self._events(self._another_chance()))
            await asyncio.sleep(seconds)
            self._over.set()

    async def each_once(self) -> None:
        """Let each behaviour be seen once, and each event."""
        chance = self._another_chance()
        async with asyncio.TaskGroup() as group:
            for behaviour in BEHAVIOURS:
                group.create_task(self._visit(behaviour, Random(chance.random())))
            for event in (self._storm(chance), self._drain(chance)):
                group.create_task(event)

    def _another_chance(self) -> Random:
        return Random(self._chance.random())

    async def _guests(self, chance: Random) -> None:
        weights = [behaviour.weight for behaviour in BEHAVIOURS]
        while not self._over.is_set():
            (behaviour,) = chance.choices(BEHAVIOURS, weights)
            await self._visit(behaviour, chance)
            await asyncio.sleep(chance.uniform(0, 0.5))

    async def _events(self, chance: Random) -> None:
        while not self._over.is_set():
            event = chance.choice([self._burst, self._storm, self._drain, self._drain])
            await event(chance)
            await self._pause(chance.uniform(0, EVENT_PAUSE))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            pass

    async def _visit(self, behaviour: Behaviour, chance: Random) -> None:
        async def act(visit: Visit) -> None:
            await behaviour.act(visit, chance)

        await self.watched(behaviour.name, act, small_buffer=behaviour.small_buffer)

    async def watched(self, name: str, act: Any, *, small_buffer: bool = False) -> None:
        """Make one connection, and keep what went wrong."""
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            async with (
                asyncio.timeout(VISIT),
                Visit(self._port, name, small_buffer=small_buffer) as visit,
            ):
                await act(visit)
                self.events += visit.events
        except Exception as error:
            if len(self.errors) < MOST_ERRORS:
                self.errors.append(f"{name}: {error!r}")
        finally:
            self.at_once -= 1
            self.visits[name] += 1

    # Events with many clients

    async def _burst(self, chance: Random) -> None:
        weights = [behaviour.weight for behaviour in BEHAVIOURS]
        chosen = chance.choices(BEHAVIOURS, weights, k=self._guests_at_a_time)
        await together(self._visit(one, Random(chance.random())) for one in chosen)

    async def _storm(self, _: Random) -> None:
        for _again in range(1 + RETURNS):
            gathered = asyncio.Barrier(self._guests_at_a_time)

            async def act(visit: Visit, gathered: asyncio.Barrier = gathered) -> None:
                try:
                    await visit.get("/pings", accept=EVENTS, events=1, end="stay")
                    await visit.first(MessageEvent)
                finally:
                    async with asyncio.timeout(VISIT):
                        await gathered.wait()
                visit.rst()

            await together(self.watched("storms", act) for _ in range(self._guests_at_a_time))

    async def _drain(self, chance: Random) -> None:
        """Fill an application, let one too many come, drain it, and let one come too late."""
        opened = asyncio.Barrier(FEW + 1)
        kinds = [chance.choice(DRAINED) for _ in range(FEW)]
        async with asyncio.TaskGroup() as group:
            for path, options in kinds:
                group.create_task(self._drained(path, options, opened))
            async with asyncio.timeout(VISIT):
                await opened.wait()
            await self.watched("is one too many", may_be_refused)
            await self.watched("drains", self._send_drain)
        await self.watched("comes too late", refused)
        await self.watched("drops", dropped)

    async def _drained(self, path: str, options: dict[str, Any], opened: asyncio.Barrier) -> None:
        stalls = options is STALLING
        name = "is drained while it stalls" if stalls else "is drained"

        async def act(visit: Visit) -> None:
            visit.last = stalls  # then it reads until the connection ends
            try:
                status = await visit.get(f"/short-lived{path}", accept=EVENTS, **options)
                check(status == 200, f"status {status}")
            finally:
                async with asyncio.timeout(VISIT):
                    await opened.wait()
            if stalls:
                await asyncio.sleep(CLEANUP_TIMEOUT + 1)
                await visit.until_the_end()
            else:
                await hears_farewell(visit)

        await self.watched(name, act, small_buffer=stalls)

    async def _send_drain(self, visit: Visit) -> None:
        check(await visit.get("/short-lived/drain") == 200, "status")
        seconds = float(await visit.body())
        check(seconds < DRAIN, f"a drain took {seconds:g} s")
        self.drains.append(seconds)


STALLING: dict[str, Any] = {"size": 16_000, **ENDLESS}

DRAINED: list[tuple[str, dict[str, Any]]] = [
    ("/pings", {"events": 1, "end": "stay"}),
    ("/compressed", {"events": 1, "end": "stay", "encoding": "gzip"}),
    ("/events", {"pause": 0.01, **ENDLESS}),
    ("/in-thread", {"pause": 0.01, **ENDLESS}),
    ("/foreign", {"events": 1, "end": "stay"}),
    ("/ndjson", {"pause": 0.01, **ENDLESS}),
    ("/ticks", {}),
    ("/events", STALLING),
    ("/foreign", STALLING),
]
"""Streams that only a drain ends."""


async def hears_farewell(visit: Visit) -> None:
    """Read to the end of the body, and be told when to come back."""
    farewells = [one async for one in visit.said() if isinstance(one, ReconnectionTime)]
    check(len(farewells) == 1, f"farewells: {farewells}")


async def may_be_refused(visit: Visit) -> None:
    """Be one too many, unless one that stalled has been given up on a busy machine."""
    status = await visit.get("/short-lived/pings", accept=EVENTS, events=1)
    check(status in (200, 503), f"status {status}")
    await visit.body()


async def refused(visit: Visit) -> None:
    status = await visit.get("/short-lived/pings", accept=EVENTS, events=1)
    check(status == 503, f"status {status}")
    check(b"retry-after" in visit.headers, visit.headers)
    await visit.body()


async def dropped(visit: Visit) -> None:
    check(await visit.get("/short-lived/drop") == 200, "status")
    await visit.body()


async def together(visits: Any) -> None:
    async with asyncio.TaskGroup() as group:
        for visit in visits:
            group.create_task(visit)
