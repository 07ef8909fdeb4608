"""`Commands`: runs scripts in Redis over one connection, many at a time.

Rules of this file:
- What is asked for while a pass of the event loop lasts, or while a write does, is one pipeline.
  Replies come in the order of the commands.
- Connecting begins when something is asked for. What waits for it has not been written. If
  connecting fails, all that waits is refused, and the next call tries again.
- When a connection breaks, what was written has an unknown outcome. What was not goes to the next
  connection.
- A reply of ``NOSCRIPT`` means that nothing was done. Then nothing more is written until all
  replies have come. A new connection loads the scripts, and what was not done is sent again in
  order, before what came later. In the same way a server that has become a replica is left.
- A caller that waits may be cancelled. A command that was written is done all the same.
- A server that owes replies and sends none for `ANSWER_SECONDS` is away.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import sha1
from random import Random
from typing import Any

from redis.exceptions import NoScriptError

from sse_middleware.errors import ConfigurationError, StoreError, printable
from sse_middleware.hub.abc import MARK_BITS
from sse_middleware.hub.redis.checks import described, is_replica, refused
from sse_middleware.hub.redis.duplex import Duplex, Reply, pack

ANSWER_SECONDS = 5.0
"""Seconds without a reply after which a connection is given up."""


class AnswerLostError(StoreError):
    """A command was written, and its reply can't come any more."""


@dataclass(slots=True)
class Session:
    """A connection that is ready."""

    connection: Any
    server: bytes
    """Which one it leads to, as scripts get it."""


@dataclass(frozen=True, slots=True)
class Call:
    """A script with arguments, as RESP. `Commands` makes it."""

    keys: Sequence[bytes]
    size: int
    """How many arguments the command has."""
    head: bytes
    """Those up to the script's keys. Each connection adds its own two after them."""
    tail: bytes
    """The rest."""


@dataclass(slots=True)
class _Command:
    size: int
    head: bytes
    tail: bytes
    future: asyncio.Future[Reply]


class Commands:
    """Runs scripts.

    Args:
        open_session: connects, and loads the scripts.
    """

    def __init__(self, open_session: Callable[[], Awaitable[Session]]) -> None:
        self._open_session = open_session
        self._loop = asyncio.get_running_loop()
        self._random = Random()  # noqa: S311 - it tells incarnations apart
        self._hashes: dict[str, bytes] = {}
        self._waiting = deque[_Command]()
        self._sent = deque[_Command]()
        self._again: list[_Command] = []
        self._duplex: Duplex | None = None
        self._server = b""
        self._leaving = False
        self._connecting: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False
        self._replies = 0
        self._timer: asyncio.TimerHandle | None = None

    def call(self, script: str, keys: Sequence[bytes], arguments: Sequence[bytes]) -> Call:
        """Return what `run` runs. It may run any number of times."""
        digest = self._hashes.get(script)
        if digest is None:
            name = sha1(script.encode(), usedforsecurity=False).hexdigest().encode()
            digest = self._hashes[script] = pack(b"EVALSHA", name)
        head = digest + pack(b"%d" % len(keys), *keys)
        return Call(keys, len(keys) + len(arguments) + 5, head, pack(*arguments))

    async def run(self, call: Call, more: Sequence[bytes] = ()) -> Reply:
        """Run a script with a call's arguments and more of them, and return its reply.

        Raises:
            AnswerLostError: it may have run.
            StoreError: it has not run.
        """
        if self._closed:
            raise StoreError("the hub was closed: nothing was done")
        future = self._loop.create_future()
        tail = call.tail + pack(*more)
        self._waiting.append(_Command(call.size + len(more), call.head, tail, future))
        self._wake()
        reply = await future
        if isinstance(reply, Exception):
            raise refused(reply, call.keys) from reply
        return reply

    async def aclose(self) -> None:
        """Close the connection. What waits is refused."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._duplex is not None:
            self._duplex.close()
            self._lose(StoreError("the hub was closed"))
        self._refuse(StoreError("the hub was closed: nothing was done"))
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _wake(self) -> None:
        if self._duplex is not None:
            self._duplex.wake()
        elif self._connecting is None:
            self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        await asyncio.sleep(0)  # so that `_connecting` is set, also if the task factory is eager
        try:
            session = await self._open_session()
        except Exception as error:
            self._connecting = None
            self._refuse(_refusal(error))
            return
        self._connecting = None
        self._server = session.server
        self._leaving = False
        self._duplex = Duplex(session.connection, self._take, self._on_reply, self._lose)
        self._duplex.wake()

    def _refuse(self, error: Exception) -> None:
        """Tell all that waits that nothing was done."""
        waiting, self._waiting = self._waiting, deque()
        for command in waiting:
            _fail(command.future, type(error)(str(error)))

    def _take(self) -> bytes:
        """Return what is to be written next. It counts as written from now on."""
        if self._leaving:
            return b""
        pieces: list[bytes] = []
        waiting, self._waiting = self._waiting, deque()
        for command in waiting:
            if not command.future.done():
                mark = b"%d" % self._random.getrandbits(MARK_BITS)
                both = pack(self._server, mark)
                pieces.append(b"*%d\r\n%b%b%b" % (command.size, command.head, both, command.tail))
                self._sent.append(command)
        if pieces and self._timer is None:
            self._watch()
        return b"".join(pieces)

    def _on_reply(self, reply: Reply) -> None:
        self._replies += 1
        command = self._sent.popleft()
        if isinstance(reply, NoScriptError):
            self._leaving = True
            self._again.append(command)
        else:
            self._leaving |= isinstance(reply, Exception) and is_replica(reply)
            if not command.future.done():
                command.future.set_result(reply)
        if self._leaving and not self._sent:
            self._leave(StoreError("the scripts are gone, or the server is a replica now"))

    def _leave(self, reason: Exception) -> None:
        if self._duplex is not None:
            self._duplex.lose(reason)

    def _lose(self, reason: Exception) -> None:
        """Know that the connection is broken."""
        duplex, self._duplex = self._duplex, None
        if duplex is not None:
            task = self._loop.create_task(duplex.wait_closed())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        sent, self._sent = self._sent, deque()
        for command in sent:
            _fail(command.future, AnswerLostError(f"the answer was lost: {reason}"))
        again, self._again = self._again, []
        self._waiting.extendleft(reversed(again))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting and not self._closed:
            self._wake()

    def _watch(self) -> None:
        """Look later whether replies came, while any are owed."""
        self._timer = self._loop.call_later(ANSWER_SECONDS, self._look, self._replies)

    def _look(self, replies: int) -> None:
        self._timer = None
        if not self._sent:
            return
        if replies == self._replies:
            self._leave(TimeoutError(f"Redis sent no answer in {ANSWER_SECONDS:g} s"))
        else:
            self._watch()


def _fail(future: asyncio.Future[Reply], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _refusal(error: Exception) -> Exception:
    if isinstance(error, ConfigurationError):
        return error
    return StoreError(f"Redis is away, and nothing was done: {printable(described(error))}")
