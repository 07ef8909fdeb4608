"""What the middleware leaves in the scope for the responses below it, and for the application.

A scope key passes every middleware between the two, which a message type of our own would not: some
drop what they don't know, others fail on it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import anyio
from starlette.types import Scope

from sse_middleware.connection import Connection
from sse_middleware.item_type import ItemTypes
from sse_middleware.records import StreamStats
from sse_middleware.registry import Registry
from sse_middleware.settings import StreamSettings

SCOPE_KEY = "sse_middleware"
"""The key of the scope under which a `Handover` lies."""


@dataclass(slots=True, eq=False)
class Handover:
    """One request's policy and connection: ``request.scope["sse_middleware"]``.

    An application may use `draining`, `drain` and `stats`; the rest is between the middleware and
    its responses.
    """

    connection: Connection
    settings: StreamSettings
    item_types: ItemTypes
    find_registry: Callable[[], Registry]
    outer: "Handover | None" = None
    claimed: bool = False
    _registry: Registry | None = None

    def registry(self) -> Registry:
        """Return the registry of the event loop; found once, and then from any thread."""
        if self._registry is None:
            self._registry = self.find_registry()
        return self._registry

    def claim(self) -> None:
        """Say that the response is a stream of this package, to the middlewares outside too."""
        handover: Handover | None = self
        while handover is not None:
            handover.claimed = True
            handover = handover.outer

    @property
    def draining(self) -> anyio.Event:
        """Set once streams are to end: ``draining.is_set()``, ``await draining.wait()``."""
        return self.registry().draining

    async def drain(self) -> None:
        """End all streams of the application in good order, and admit no more of them.

        Returns when the last one has ended, so a stream that drains must not await it.
        """
        await self.registry().drain()

    def stats(self) -> StreamStats:
        """Return what the streams of the application are doing, in this event loop."""
        return self.registry().stats()

    @classmethod
    def find(cls, scope: Scope) -> "Handover | None":
        """Return the handover of the innermost middleware, if there is one."""
        return scope.get(SCOPE_KEY)
