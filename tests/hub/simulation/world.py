"""Hubs, their links and servers, and clients."""

import asyncio
import random
from collections.abc import Collection, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

from sse_middleware.hub.abc import Entry
from sse_middleware.hub.hub import Hub
from sse_middleware.hub.ids import parse_position
from sse_middleware.testing import VirtualTime
from tests.hub.simulation.client import Client, Violation
from tests.hub.simulation.server import Server
from tests.hub.simulation.store import (
    KEEP,
    TOPICS,
    Link,
    SimulatedStore,
    number_of,
)


class World:
    """Hubs, their links and servers, and clients."""

    limit = 200

    def __init__(self, seed: int = 0, hubs: int = 2) -> None:
        self.random = random.Random(seed)
        self.loop: asyncio.AbstractEventLoop = VirtualTime().backend_options["loop_factory"]()
        self.truth: dict[str, list[int]] = {topic: [] for topic in TOPICS}
        """The payloads that are owed, in order."""
        self.ever: dict[str, list[int]] = {topic: [] for topic in TOPICS}
        """All payloads, also those that only an old primary had."""
        self.clocks: dict[int, int] = {}
        self.numbers = 0
        self.primary = Server(self)
        self.newest: dict[Server, int] = {}
        """The last payload that may have come to each server that is no longer the primary."""
        self.links = [Link(self, self.primary, self.loop) for _ in range(hubs)]
        self.hubs = [Hub(keep=KEEP, store=partial(SimulatedStore, link)) for link in self.links]
        self.clients = [
            Client(self, ("a",)),
            Client(self, ("a", "b")),
            Client(self, ("a", "b", "c")),
        ]
        for hub in self.hubs:
            self.run(hub.open())

    def time(self) -> float:
        return self.loop.time()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def pass_time(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    def settle(self) -> None:
        """Let what is ready happen, and the clients get what is on the wire."""
        self.pass_time(0.001)
        for client in self.clients:
            if client.task is not None and client.task.done():
                client.task.result()
            client.deliver()

    def close(self) -> None:
        for client in self.clients:
            client.disconnect(0)
        for hub in self.hubs:
            self.run(hub.close())
        self.run(self.loop.shutdown_asyncgens())
        self.loop.close()

    # What may happen.

    def publish(self, hub: int, topic: int, count: int = 1) -> None:
        for _ in range(count):
            self.run(self._publish(hub, topic))

    async def _publish(self, hub: int, topic: int) -> None:
        self.numbers += 1
        name = TOPICS[topic % len(TOPICS)]
        with suppress(ConnectionError):
            await self.hubs[hub % len(self.hubs)].publish(name, [name, self.numbers])

    def note(self, server: Server, topic: str, block: bytes) -> None:
        """Note what a server has acknowledged. What the primary doesn't have is not owed."""
        number = number_of(block)
        self.clocks[number] = server.clock
        self.ever[topic].append(number)
        if server is self.primary:
            self.truth[topic].append(number)

    def publish_quietly(self, hub: int, topic: int) -> None:
        """Publish where all is well. Then nothing need be read."""
        at = hub % len(self.links)
        link = self.links[at]
        self.pass_time(0.001)
        running = self.hubs[at]._running
        assert running is not None
        is_well = not (link.fails or link.stalled or link.delay or self.pages(at))
        is_well &= not running.worker.unsynced
        is_well &= running.worker.mark == link.server.incarnations[-1].mark
        reads = link.reads
        self.publish(hub, topic, 2)
        self.pass_time(0.001)
        if is_well and link.server is self.primary and link.reads > reads and not self.pages(at):
            raise Violation("something was read, and nothing was missed")

    def connect(self, client: int, hub: int) -> None:
        at = hub % len(self.hubs)
        self.clients[client % len(self.clients)].connect(self.hubs[at], self.links[at])

    def cut(self, client: int, part: int) -> None:
        self.pass_time(0.001)  # something is on the wire
        self.clients[client % len(self.clients)].disconnect(part % 11 / 10)

    def publish_and_cut(self, topic: int, client: int, part: int) -> None:
        self.publish(client, topic, 3)
        self.cut(client, part)

    def connect_and_cut(self, client: int, hub: int, part: int) -> None:
        self.connect(client, hub)
        self.pass_time(0.01)
        self.cut(client, part)

    def pause(self, client: int) -> None:
        self.clients[client % len(self.clients)].paused = True

    def resume(self, client: int) -> None:
        chosen = self.clients[client % len(self.clients)]
        chosen.paused = False
        chosen.pull()

    def sip(self, client: int) -> None:
        """Have a client that doesn't read read a little."""
        chosen = self.clients[client % len(self.clients)]
        chosen.pull(1)
        chosen.paused = True

    def keep_alive(self, client: int) -> None:
        self.clients[client % len(self.clients)].keep_alive()

    def wait(self, length: int) -> None:
        self.pass_time((0.01, 0.2, 1, 6, 35, 150)[length % 6])

    def delay(self, hub: int, length: int) -> None:
        self.links[hub % len(self.links)].delay = (0, 0.01, 0.3, 3)[length % 4]

    def fail(self, hub: int) -> None:
        link = self.links[hub % len(self.links)]
        link.fails = not link.fails

    def stall(self, hub: int) -> None:
        link = self.links[hub % len(self.links)]
        link.stalled = not link.stalled
        if link.listener is not None:
            link.listener.deliver_all()

    def break_listener(self, hub: int) -> None:
        listener = self.links[hub % len(self.links)].listener
        if listener is not None:
            listener.cut()

    def make_hole(self, hub: int, topic: int) -> None:
        """Lose a message, and not the next one of the topic. No tick comes in between."""

        async def publish() -> None:
            link.drops = 1
            await self._publish(hub, topic)
            link.drops = 0
            await self._publish(hub, topic)

        link = self.links[hub % len(self.links)]
        listener, name = link.listener, TOPICS[topic % len(TOPICS)]
        if listener is not None and name in listener.topics and not link.stalled:
            self.run(publish())

    def restart(self, lost: int) -> None:
        """End the server, and start it again without its last appends."""
        self.primary.lose(lost % 5)
        self.primary.begin_anew()
        self._break(self.primary)

    def flush(self) -> None:
        """Begin anew with another store, on the same connections."""
        self.primary.flush()

    def fail_over(self, lost: int, moved: int) -> None:
        """Make another server the primary. The old one lives on, for those that don't move."""
        old = self.primary
        self.newest[old] = self.numbers
        self.primary = new = Server(self)
        new.copy_of(old)
        new.lose(lost % 5)
        new.begin_anew()
        for at, link in enumerate(self.links):
            if (moved >> at) & 1:
                link.server = new

    def heal(self) -> None:
        """Lead all links to the primary, and let them work."""
        for link in self.links:
            if link.server is not self.primary:
                self._break(link.server)
                link.server = self.primary
            link.fails = link.stalled = False
            link.delay = 0
            if link.listener is not None:
                link.listener.deliver_all()

    def step_clock(self, seconds: int) -> None:
        self.primary.skew += (seconds % 21 - 10) * 10**6

    @staticmethod
    def _break(server: Server) -> None:
        for listener in tuple(server.listeners):
            listener.cut()

    # What must hold.

    def check_reason(
        self, client: Client, reason: str, topics: Collection[str], before: str, after: str
    ) -> None:
        old, new = parse_position(before), parse_position(after)
        if old is None or new is None:
            return
        if reason == "lost" and old.mark == new.mark:
            raise Violation("lost, in the same incarnation")
        if reason == "reset" and old.mark == new.mark and not old.clock > new.clock:
            raise Violation("reset, in the same store")
        if reason == "expired" and new.mark == old.mark:
            for topic in topics:
                self._check_expired(client, topic, old.clock)

    def _check_expired(self, client: Client, topic: str, clock: int) -> None:
        kept = {number_of(one.block) for one in self.kept(topic)}
        gone = [
            one
            for one in self.ever[topic]
            if self.clocks[one] > clock and one not in kept and one not in client.seen
        ]
        if not gone and topic not in client.gaps:
            raise Violation(f"a gap of {topic}, and nothing of it is gone")

    def gone(self, client: Client) -> dict[str, set[int]]:
        """Return what the server does not have any more that told a client a gap."""
        assert client.link is not None
        assert client.subscription is not None
        mark = client.subscription.cursor.mark
        assert mark is not None
        server = client.link.read_from[mark]
        return {topic: self._gone(server, topic) for topic in client.topics}

    def _gone(self, server: Server, topic: str) -> set[int]:
        server.expire()
        kept = {number_of(one.block) for one in server.contents.topics.get(topic, [])}
        newest = self.newest.get(server, self.numbers)  # clocks don't tell: they may step back
        return {one for one in self.truth[topic] if one <= newest} - kept

    def pages(self, hub: int) -> bool:
        """Whether clients of a hub read pages."""
        clients = [one for one in self.clients if one.link is self.links[hub]]
        return any(one.paused or not one.opened or one.was_behind() for one in clients)

    def kept(self, topic: str) -> list[Entry]:
        self.primary.expire()
        return self.primary.contents.topics.get(topic, [])

    def finish(self) -> None:
        """Let all be well again, and have each client get the rest."""
        self.heal()
        for at, client in enumerate(self.clients):
            client.paused = False
            if client.subscription is None:
                self.connect(at, at)
        for _ in range(4):
            self.pass_time(6)
            self.settle()
            for client in self.clients:
                client.pull(1)
        for topic in range(len(TOPICS)):
            self.publish(0, topic)
        for _ in range(2):
            self.pass_time(6)
            self.settle()
        for client in self.clients:
            missing = [one for one in client.topics if self.truth[one][-1] not in client.seen]
            if missing:
                raise Violation(f"what was published last to {missing} has not come")
            for _ in range(2):
                client.keep_alive()
                client.deliver()
            position = parse_position(client.last_id)
            assert position is not None
            if position.clock > self.primary.clock:
                raise Violation("a position is above the store's clock")
