"""A client that views runs, through the whole middleware, and checks what it gets.

Rules of this file:
- A client has a position, as an ``EventSource`` has. What moves it must not skip an event that the
  client is owed.
- It is owed each event of the present run, and each of earlier runs unless it was told a gap. A
  run that made way, and that a crash has brought back, counts as an earlier run.
- A client without a position begins with the present run.
"""

import json
from typing import Any, Protocol

from sse_middleware.errors import HubError
from sse_middleware.hub.ids import Position, parse_position
from sse_middleware.wire.decoding import EventStreamDecoder, MessageEvent
from tests.hub.simulation.audit import Chapter, Payload, RunServer
from tests.hub.simulation.client import Violation
from tests.hub.simulation.processes import ProcessLoop

Message = dict[str, Any]


class Serving(Protocol):
    """A process that answers requests."""

    loop: ProcessLoop
    runs: bool
    is_open: bool

    def app(self, scope: Any, receive: Any, send: Any) -> Any:
        """Answer a request."""


class RunTruth(Protocol):
    """The world, as its clients see it."""

    server: RunServer


class Exchange:
    """One request of a client, and the response."""

    def __init__(self, process: Serving, scope: dict[str, Any]) -> None:
        self.process = process
        self.status = 0
        self.wire = b""
        self.complete = False
        """Whether the body has ended as it should."""
        self.slow = self.was_slow = False
        self._asked = False
        loop = process.loop
        self._left = loop.create_future()
        self._may_send = loop.create_future()
        self.task = loop.start(self._run(scope))

    async def _run(self, scope: dict[str, Any]) -> None:
        try:
            await self.process.app(scope, self._receive, self._send)
        except (ConnectionError, HubError):
            self.status = self.status or 500

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self.task.done() or not self.process.runs

    @property
    def ended_well(self) -> bool:
        """Whether only the end of the run can have ended it."""
        lives = self.process.runs and self.process.is_open
        return self.status == 200 and lives and self.complete and not self.was_slow

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        if self.slow:
            self._may_send = self.process.loop.create_future()
            await self._may_send
        if not self._left.done():
            self.wire += message["body"]
            self.complete = not message.get("more_body", False)

    def read(self) -> None:
        """Read on."""
        self.was_slow |= self.slow
        self.slow = False
        self.process.loop.post(_resolve, self._may_send)

    def leave(self) -> None:
        self.process.loop.post(_resolve, self._left)
        self.read()


def _resolve(future: Any) -> None:
    if not future.done():
        future.set_result(None)


class RunClient:
    """Views the run of one key, and comes back with its last id."""

    def __init__(self, world: RunTruth) -> None:
        self.world = world
        self.exchange: Exchange | None = None
        self.key = ""
        self.began: Chapter | None = None
        self._begin_anew("")

    def _begin_anew(self, key: str) -> None:
        self.key = key
        self.decoder = EventStreamDecoder()
        self.seen = set[tuple[int, int]]()
        self.answer = 0
        """What told it not to come back: 204 or 404."""
        self._gap = False
        """Whether it was told a gap since its last event."""
        self._lost_run = False
        """Whether the last gap was of a run that was gone."""
        self._excused = set[Payload]()
        """What had been gone when it was told a gap. A crash may bring that back."""
        chapter = self.world.server.chapter(key)
        self._floor = 0 if chapter is None else chapter.order
        self._losses = self.world.server.losses

    @property
    def last_id(self) -> str:
        return self.decoder.last_event_id

    def request(self, process: Serving, path: str, key: str | None = None) -> None:
        """Send a request.

        Args:
            process: answers it.
            path: what is asked for.
            key: of the run, if the client begins anew, without an id.
        """
        self.leave()
        if key is not None:
            self._begin_anew(key)
        if not self.key:
            return
        self.decoder = EventStreamDecoder(last_event_id=self.last_id)
        self._before = self.world.server.chapter(self.key), self.world.server.losses
        headers = [(b"accept", b"text/event-stream")]
        if self.last_id:
            headers.append((b"last-event-id", self.last_id.encode()))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "method": "GET",
            "path": f"/{path}/{self.key}",
            "query_string": b"",
            "headers": headers,
        }
        self.exchange = Exchange(process, scope)

    def leave(self, part: float = 1.0) -> None:
        """Drop the connection, when a part of what is on the wire has come."""
        exchange = self.exchange
        if exchange is not None:
            wire, exchange.wire = exchange.wire, b""
            self._feed(wire[: int(len(wire) * part)])
            self.exchange = None
            if exchange.process.runs:
                exchange.leave()

    def deliver(self) -> None:
        """Get all that is on the wire. If that is the end, the connection is dropped."""
        exchange = self.exchange
        if exchange is None:
            return
        wire, exchange.wire = exchange.wire, b""
        self._feed(wire)
        if exchange.over:
            self.exchange = None
            if exchange.task.done():
                exchange.task.result()
            if exchange.status in (204, 404):
                self.answer = exchange.status
                self._check_answer(exchange.status)
            elif exchange.ended_well:
                self._check_end()

    def _check_end(self) -> None:
        """Check that a stream has ended with its run, or because the server had lost its run."""
        chapter, server = self.world.server.chapter(self.key), self.world.server
        before, _ = self._before
        if chapter is None or before is None or chapter.token != before.token:
            return
        if before.token in server.ended or self._lost_run:
            return
        later = [token for _, order, token in server.starts[self.key] if order > before.order]
        made_way = any(token != before.token for token in later)
        if not made_way and chapter.end is None and chapter.until > server.now():
            raise Violation("a stream has ended, and its run goes on")

    def _check_answer(self, status: int) -> None:
        """Check that there is nothing to view."""
        chapter = self.world.server.chapter(self.key)
        before, faults = self._before
        if chapter is None or before is None or before.order != chapter.order:
            return
        if faults != self.world.server.losses:
            return
        if status == 404:
            raise Violation("no run has the key, it was said, and there was one")
        position = parse_position(self.last_id)
        if chapter.end is None or position is None or position.clock < chapter.end_clock:
            raise Violation("a client was sent away before it had everything")

    def _feed(self, wire: bytes) -> None:
        for block in wire.split(b"\n\n"):
            whole = block + b"\n\n" if wire.startswith(block + b"\n\n") else block
            wire = wire[len(whole) :]
            before = parse_position(self.last_id)
            for event in self.decoder.feed(whole):
                if isinstance(event, MessageEvent):
                    self._take(event, before)
            after = parse_position(self.last_id)
            if after is not None and after != before:
                self._check_move(before, after)

    def _take(self, event: MessageEvent, before: Position | None) -> None:
        if event.type == "gap":
            self._note_gap(json.loads(event.data)["reason"], parse_position(event.last_event_id))
        elif event.type == "message":
            work, number = json.loads(event.data)
            if (work, number) in self.seen:
                raise Violation(f"event {number} of {work} came twice")
            self._check_order(work)
            self.seen.add((work, number))

    def _note_gap(self, reason: str, position: Position | None) -> None:
        self._gap, self._lost_run = True, reason == "expired"
        self._excused |= self.world.server.contents.dropped
        if reason == "reset":
            self.seen.clear()
        elif reason == "lost":  # what came after it may be gone, and be written again
            before = 0 if position is None else position.clock
            kept = [one for one in self.world.server.payloads(self.key) if one.clock <= before]
            self.seen &= {(one.work, one.number) for one in kept}

    def _check_order(self, work: int) -> None:
        """Check that an event is of the run that the client came for, or of a later one."""
        if self._losses == self.world.server.losses:
            for one in self.world.server.payloads(self.key):
                if one.work == work and one.order < self._floor:
                    raise Violation("a client that had no id got an earlier run")

    def _check_move(self, before: Position | None, after: Position) -> None:
        """Check that nothing was skipped."""
        server = self.world.server
        if after.mark != server.incarnations[-1].mark:
            return  # it will be told
        if before is not None and before.mark != after.mark and not self._gap:
            raise Violation("the server has begun anew, and no gap was told")
        if before is None:  # it begins here, and not with earlier runs
            self._floor = max(self._floor, self._order_at(after.clock))
        same = before is not None and before.mark == after.mark
        begin = before.clock if before is not None and same else 0
        if before is None and self._losses != server.losses:
            begin = after.clock  # the run that it came for may be lost
        if begin > after.clock and not self._gap:
            raise Violation("the position fell")
        self._check_missing(begin, after.clock, server.payloads(self.key))
        if any(one.clock == after.clock for one in server.payloads(self.key)):
            self._gap = False

    def _order_at(self, clock: int) -> int:
        """Return the order of the run with which a client begins at a clock."""
        server = self.world.server
        present = server.chapter(self.key)
        later = [one.order for one in server.payloads(self.key) if one.clock > clock]
        if present is not None and all(order == present.order for order in later):
            return present.order
        begun = [order for before, order, _ in server.starts[self.key] if before <= clock]
        return max(begun, default=0)

    def _check_missing(self, begin: int, end: int, payloads: list[Payload]) -> None:
        chapter = self.world.server.chapter(self.key)
        present = 0 if chapter is None else chapter.order
        for one in payloads:
            if not begin < one.clock <= end or (one.work, one.number) in self.seen:
                continue
            if one.order < self._floor or one in self._excused:
                continue
            if one.order == present or not self._gap:
                raise Violation(f"event {one.number} of {one.work} did not come")

    def check_has_all(self) -> None:
        """Check that it has all of the present run."""
        chapter = self.world.server.chapter(self.key)
        position = parse_position(self.last_id)
        if chapter is not None:
            server = self.world.server
            before = server.now() - 100_000  # what came later may be on its way
            missing = [
                one
                for one in server.payloads(self.key)
                if one.order == chapter.order >= self._floor and one.clock < before
                if (one.work, one.number) not in self.seen and one not in self._excused
            ]
            if missing:
                raise Violation(f"a client waits at {position}, and there is more: {missing}")
