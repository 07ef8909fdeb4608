"""`Registries`: the registry of each event loop, and when it ends."""

from asyncio import AbstractEventLoop
from dataclasses import dataclass
from functools import partial
from weakref import WeakKeyDictionary

from anyio import from_thread
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sse_middleware.event_loop.loop import current_token
from sse_middleware.event_loop.loop_end import LoopEnd
from sse_middleware.registry.registry import Registry
from sse_middleware.settings import Policy


class Registries:
    """One registry for each event loop, as an application may run in several.

    A registry ends with its application even if the event loop goes on (a `RunVar` would keep it),
    and with its event loop even if the application goes on.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._of_loop: WeakKeyDictionary[object, _InLoop] = WeakKeyDictionary()

    def current(self) -> Registry:
        """Return the registry of the running event loop.

        In a worker thread, that of the event loop which the thread works for.

        Raises:
            RuntimeError: there is no event loop.
        """
        try:
            token = current_token()
        except RuntimeError:
            return from_thread.run_sync(self.current)
        here = self._of_loop.get(token)
        return (self._begin(token) if here is None else here).registry

    async def run_lifespan(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the lifespan of a server. The shutdown of the last one waits for the streams to end.

        Several servers in one event loop share one registry. A registry that was drained is
        replaced, because another server may follow one that has ended.
        """
        token = current_token()
        here = self._of_loop.get(token) or self._begin(token)
        if here.registry.drain.active:
            here.registry = Registry(self.policy, here.registry)
        here.lifespans += 1
        lifespan = _Lifespan(here, receive)
        try:
            await app(scope, lifespan.receive, send)
        finally:
            lifespan.end()

    def _begin(self, token: object) -> "_InLoop":
        for other in list(self._of_loop):
            if isinstance(other, AbstractEventLoop) and other.is_closed():  # it told nobody
                self._end(other)
        here = _InLoop(Registry(self.policy), LoopEnd(partial(self._end, token)))
        self._of_loop[token] = here
        return here

    def _end(self, token: object) -> None:
        self._of_loop.pop(token).registry.drain.close()


@dataclass(eq=False)
class _InLoop:
    """What belongs to an application in one event loop."""

    registry: Registry
    loop_end: LoopEnd
    lifespans: int = 0
    """How many have begun and not ended."""


class _Lifespan:
    """A lifespan that has begun."""

    def __init__(self, here: _InLoop, receive: Receive) -> None:
        self._here = here
        self._receive = receive
        self._ended = False

    async def receive(self) -> Message:
        """Receive as from the server, but a shutdown only when the streams have ended.

        Most servers have waited for them already. granian ends what is left of their tasks with
        the lifespan.
        """
        message = await self._receive()
        if message["type"] == "lifespan.shutdown":
            self.end()
            if not self._here.lifespans:
                await self._here.registry.drain.shut_down()
        return message

    def end(self) -> None:
        """Note that it has ended. Later calls change nothing."""
        self._here.lifespans -= not self._ended
        self._ended = True
