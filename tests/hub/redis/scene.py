"""Hubs on one Redis, a publisher, and subscribers that come and go while something goes wrong.

Rules of this file:
- One publisher awaits each publish. After a refusal it tries again. If the outcome is unknown, it
  publishes again with the same ``once=``, unless Redis may have lost that: then it goes on with the
  next number, and nobody needs to have seen this one.
- A subscriber keeps the id that it was last sent. It comes back with it, to any hub.
- After the fault a few events more are published. Each subscriber reads until it has the last ones.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import anyio

from sse_middleware.errors import PublishUnknownError, StoreError
from sse_middleware.hub.hub import Hub
from sse_middleware.hub.keep import Keep
from sse_middleware.wire.decoding import EventStreamDecoder, MessageEvent
from tests.e2e.hub_record import Gap, Record, Seen, violations

TOPICS = ("a", "b", "c", "d")

KEPT = 400

LONGEST = 45.0
"""Seconds of a scene."""

PACE = 0.002
"""Seconds between two events."""


class Publisher:
    """Publishes numbered events."""

    def __init__(self, hub: Hub, *, lossy: bool) -> None:
        self.hub = hub
        self.lossy = lossy
        self.last = Counter[str]()
        self.position = 0
        self.refused = 0
        self.unknown = set[tuple[str, int]]()
        self.repeated = 0
        self.goal = 0
        self.reached = anyio.Event()

    def skipped(self, topic: str, below: int | None = None) -> int:
        """Return how many numbers of a topic, below one of them, had an unknown outcome."""
        return sum(
            one == topic and (below is None or number < below) for one, number in self.unknown
        )

    async def publish(self, topic: str) -> None:
        """Publish an event, however often it is refused."""
        self.last[topic] += 1
        self.position += 1
        number = self.last[topic]
        item = {"topic": topic, "number": number, "position": self.position}
        while True:
            try:
                await self.hub.publish(topic, item, once=f"{self.position}")
                return
            except PublishUnknownError:
                if self.lossy:
                    self.unknown.add((topic, number))
                    return
                self.repeated += 1
            except StoreError:
                self.refused += 1
                await anyio.sleep(0.02)

    async def run(self, over: anyio.Event, random: Random) -> None:
        """Publish until something is over."""
        while not over.is_set():
            await self.publish(random.choice(TOPICS))
            if self.position >= self.goal:
                self.reached.set()
            await anyio.sleep(PACE)


class Reader:
    """A client of some topics."""

    def __init__(self, hubs: Sequence[Hub], publisher: Publisher, random: Random) -> None:
        self.topics = random.sample(TOPICS, random.randint(1, len(TOPICS)))
        self.primed = anyio.Event()
        self.visits = 0
        self._hubs = hubs
        self._publisher = publisher
        self._random = random
        self._last_id = ""
        self._had = Counter[str]()
        self._record: list[Seen | Gap] = []
        self._steady = random.random() < 0.3
        self._over = False

    async def run(self, over: anyio.Event) -> None:
        """Read until everything was had."""
        while not (over.is_set() and self._has_all()):
            self.visits += 1
            await self._visit(over)
            await anyio.sleep(self._random.random() * 0.3)

    async def _visit(self, over: anyio.Event) -> None:
        subscription = self._random.choice(self._hubs).subscribe(*self.topics)
        subscription.resume(self._last_id)
        decoder = EventStreamDecoder(last_event_id=self._last_id)
        woken = anyio.Event()

        def wake() -> None:
            woken.set()

        patience = LONGEST if self._steady else 0.2 + self._random.random()
        with anyio.move_on_after(patience):
            try:
                await subscription.open(wake)
                self._feed(decoder, subscription.position_frame())
                while not (over.is_set() and self._has_all()):
                    woken = anyio.Event()
                    while taken := subscription.take(1000):
                        self._feed(decoder, taken)
                    with anyio.move_on_after(0.3) as silence:
                        await woken.wait()
                    if silence.cancelled_caught:
                        self._feed(decoder, subscription.position_frame())
            finally:
                subscription.close()

    def _feed(self, decoder: EventStreamDecoder, block: bytes) -> None:
        for event in decoder.feed(block):
            if isinstance(event, MessageEvent):
                self._take(event)
        if decoder.last_event_id:
            self._last_id = decoder.last_event_id
            self.primed.set()

    def _take(self, event: MessageEvent) -> None:
        item = json.loads(event.data)
        if event.type == "gap":
            self._record.append(Gap(tuple(item["topics"])))
            return
        topic, number = item["topic"], item["number"]
        self._had[topic] = max(self._had[topic], number)
        newest = self._publisher.last[topic]
        self._record.append(Seen(topic, number, item["position"], newest))

    def _has_all(self) -> bool:
        return all(self._had[topic] >= self._publisher.last[topic] for topic in self.topics)

    @property
    def gaps(self) -> int:
        return sum(isinstance(one, Gap) for one in self._record)

    def violations(self) -> list[str]:
        """Return how the promise was broken. Numbers with an unknown outcome don't count."""
        publisher = self._publisher
        last = {topic: publisher.last[topic] - publisher.skipped(topic) for topic in self.topics}
        return list(violations(self._known(), last, KEPT, lossy=publisher.lossy))

    def _known(self) -> Record:
        publisher = self._publisher
        return [
            one
            if isinstance(one, Gap)
            else Seen(
                one.topic,
                one.number - publisher.skipped(one.topic, one.number),
                one.position,
                one.newest,
            )
            for one in self._record
            if isinstance(one, Gap) or (one.topic, one.number) not in publisher.unknown
        ]


class Scene:
    """What a test sees of its scene."""

    def __init__(self, publisher: Publisher, readers: Sequence[Reader]) -> None:
        self.publisher = publisher
        self.readers = readers

    @property
    def gaps(self) -> int:
        return sum(reader.gaps for reader in self.readers)

    async def published(self, count: int) -> None:
        """Wait until this many events more were published, so that the fault strikes among them."""
        publisher = self.publisher
        publisher.goal, publisher.reached = publisher.position + count, anyio.Event()
        await publisher.reached.wait()


Fault = Callable[[Scene], Awaitable[None]]


async def play(
    urls: Sequence[str],
    fault: Fault,
    *,
    lossy: bool = False,
    durable: bool = False,
    roam: bool = True,
    readers: int = 12,
    seed: int = 20,
) -> Scene:
    """Let a fault strike, and check what each subscriber has read.

    Args:
        urls: of the hubs. The first one publishes.
        fault: does harm. The scene goes on for a little after it.
        lossy: whether Redis may lose what it has acknowledged.
        durable: whether the hubs believe that it can't.
        roam: whether subscribers come back to any hub, and not always to the same one.
        readers: how many.
        seed: of all randomness.
    """
    random = Random(seed)
    with anyio.fail_after(LONGEST):
        async with _opened(urls, durable=durable) as hubs:
            publisher = Publisher(hubs[0], lossy=lossy)
            crowd = []
            for number in range(readers):
                theirs = hubs[1:] if roam else [hubs[1:][number % len(hubs[1:])]]
                crowd.append(Reader(theirs, publisher, Random(random.random())))
            scene = Scene(publisher, crowd)
            await _play(scene, fault, random)
    for reader in crowd:
        assert reader.violations() == []
    return scene


async def _play(scene: Scene, fault: Fault, random: Random) -> None:
    struck, over = anyio.Event(), anyio.Event()
    async with anyio.create_task_group() as tasks:
        for reader in scene.readers:
            tasks.start_soon(reader.run, over)
        for reader in scene.readers:
            await reader.primed.wait()
        async with anyio.create_task_group() as publishing:
            publishing.start_soon(scene.publisher.run, struck, random)
            await scene.published(100)
            await fault(scene)
            await scene.published(100)
            struck.set()
        for topic in TOPICS:
            await _publish_last(scene.publisher, topic)
        over.set()


async def _publish_last(publisher: Publisher, topic: str) -> None:
    """Publish an event that everybody must have seen."""
    await publisher.publish(topic)
    while (topic, publisher.last[topic]) in publisher.unknown:
        await publisher.publish(topic)


@asynccontextmanager
async def _opened(urls: Sequence[str], *, durable: bool) -> AsyncIterator[list[Hub]]:
    async with AsyncExitStack() as stack:
        keep = Keep(count=KEPT, seconds=300)
        hubs = [Hub(url, prefix="scene", keep=keep, durable=durable) for url in urls]
        for hub in hubs:
            await stack.enter_async_context(hub)
        yield hubs
