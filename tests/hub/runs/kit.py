"""What the tests of runs share: applications, and a store whose faults a test decides."""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import anyio
import httpx

from sse_middleware import EventSourceResponse, Hub, SSEMiddleware
from sse_middleware.hub.abc import Listener, Store
from sse_middleware.hub.run import RUN_TOPIC, RunState
from sse_middleware.wire.decoding import EventStreamDecoder, MessageEvent
from tests.served import client_of

RUN = f"{RUN_TOPIC}k"
"""The topic of the run that most tests have."""


class FaultyStore:
    """The way of one worker to a store. Any call may fail, before or after it was made.

    Args:
        store: what the workers share.
    """

    def __init__(self, store: Any) -> None:
        self.store = store
        self.calls = Counter[str]()
        self.appends: list[tuple[str, tuple[bytes, ...]]] = []
        """The topic and the events of each append that was made."""
        self.away = False
        """Whether nothing is answered and nothing is heard."""
        self.mute: set[str] = set()
        """Topics of which nothing is heard."""
        self.fail_before = Counter[str]()
        """How many of the next calls fail without being made, by method."""
        self.fail_after = Counter[str]()
        """How many of the next calls are made, and their answer is lost."""
        self.delays: dict[str, float] = {}
        """Seconds that calls take, by method."""

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.store, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            self.calls[name] += 1
            if name in self.delays:
                await anyio.sleep(self.delays[name])
            self._fail_if(self.away or self.fail_before[name] > 0, self.fail_before, name)
            answer = await method(*arguments, **named)
            if name == "append":
                self.appends.append((arguments[0], tuple(arguments[1])))
            self._fail_if(self.fail_after[name] > 0, self.fail_after, name)
            return answer

        return call

    def _fail_if(self, fails: bool, counts: Counter[str], name: str) -> None:
        if fails:
            counts[name] -= 1
            raise OSError(f"the store is away: {name}")

    async def aclose(self) -> None:
        await self.store.aclose()

    def listen(self, on_event: Any, on_tick: Any, on_broken: Any) -> Listener:
        def hear(topic: str, *event: Any) -> None:
            if not self.away and topic not in self.mute:
                on_event(topic, *event)

        def tick(*state: Any) -> None:
            if not self.away:
                on_tick(*state)

        return self.store.listen(hear, tick, on_broken)  # type: ignore[no-any-return]

    def appends_of(self, topic: str = RUN) -> list[tuple[bytes, ...]]:
        """Return the events of each append to a topic."""
        return [events for name, events in self.appends if name == topic]


class Workers:
    """Several hubs over one store, as several workers have them."""

    def __init__(self, open_store: Callable[[], Any]) -> None:
        self._open_store = open_store
        self.faults: list[FaultyStore] = []
        """Of each hub, in the order in which they were opened."""

    def hub(self, *, away: bool = False, **options: Any) -> Hub:
        """Make a hub of one more worker, whose store may be away at first."""

        def open_one() -> Store:
            self.faults.append(FaultyStore(self._open_store()))
            self.faults[-1].away = away
            return self.faults[-1]

        return Hub(store=open_one, **options)


def asking(hub: Hub, factory: Any, key: str = "k", **options: Any) -> Any:
    """Return an application that begins the run of a key, and streams it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await EventSourceResponse(await hub.resumable(key, factory, **options))(
            scope, receive, send
        )

    return SSEMiddleware(app, hub=hub)


def attaching(hub: Hub, key: str = "k", **options: Any) -> Any:
    """Return an application that streams the run of a key."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await EventSourceResponse(await hub.attach(key, **options))(scope, receive, send)

    return app


def numbers(count: int, pause: float = 0.0) -> Callable[[], AsyncIterator[int]]:
    """Return a factory of generators that count."""

    async def generate() -> AsyncIterator[int]:
        for number in range(count):
            yield number
            await anyio.sleep(pause)

    return generate


def never_called() -> Any:
    """Raise, as a factory that must not be called. Whoever asked for the run gets the error."""
    raise AssertionError("the factory was called")


async def for_ever() -> AsyncIterator[int]:
    """Yield one item, and wait before the next one."""
    while True:
        yield 0
        await anyio.sleep_forever()


def cleaning_up(seconds: float, log: list[str]) -> Callable[[], AsyncIterator[int]]:
    """Return a factory of generators whose cleanup awaits."""

    async def generate() -> AsyncIterator[int]:
        try:
            while True:
                yield 0
                await anyio.sleep_forever()
        finally:
            log.append("begun")
            with anyio.CancelScope(shield=True):  # trio's way; asyncio needs none
                await anyio.sleep(seconds)
            log.append("cleaned up")

    return generate


async def answer_to(
    app: Any, last_event_id: str = "", method: str = "GET", url: str = "/"
) -> httpx.Response:
    """Return the whole response of an application."""
    headers = {"last-event-id": last_event_id} if last_event_id else {}
    async with client_of(app) as client:
        return await client.http.request(method, url, headers=headers)


async def viewed(hub: Hub, last_event_id: str = "", key: str = "k") -> list[Any]:
    """Return the data that a viewer gets who stays until the end."""
    return data_of((await answer_to(attaching(hub, key), last_event_id)).content)


def events_in(wire: bytes) -> list[MessageEvent]:
    """Return the events of a body."""
    return [one for one in EventStreamDecoder().feed(wire) if isinstance(one, MessageEvent)]


def data_of(wire: bytes) -> list[Any]:
    """Return the data of the events of a body. A gap is its reason."""
    return [_shown(event) for event in events_in(wire)]


def _shown(event: MessageEvent) -> Any:
    data = json.loads(event.data)
    return f"gap: {data['reason']}" if event.type == "gap" else data


def last_id(wire: bytes) -> str:
    """Return the last id of a body."""
    return re.findall(rb"^id: (.*)$", wire, re.MULTILINE)[-1].decode()  # type: ignore[no-any-return]


async def until_state(hub: Hub, state: RunState | None, key: str = "k") -> None:
    """Wait until the run of a key has a state."""
    await until(lambda: _has_state(hub, state, key))


async def _has_state(hub: Hub, state: RunState | None, key: str) -> bool:
    return await hub.state(key) is state


async def until(holds: Callable[[], Awaitable[bool]], within: float = 60) -> None:
    """Wait until a condition holds, in virtual time."""
    with anyio.fail_after(within):
        while not await holds():  # noqa: ASYNC110 - nothing tells of a change in a store
            await anyio.sleep(0.05)


def joined(events: Iterable[tuple[bytes, ...]]) -> bytes:
    """Return all events of some appends."""
    return b"".join(block for blocks in events for block in blocks)
