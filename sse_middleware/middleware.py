"""`SSEMiddleware`: one policy for every stream of an application."""

from typing import Unpack

from asgiref.compatibility import guarantee_single_callable
from starlette.types import ASGIApp, Receive, Scope, Send

from sse_middleware.connection import Connection
from sse_middleware.handover import SCOPE_KEY, Handover
from sse_middleware.item_type import ItemTypes
from sse_middleware.settings import StreamOptions, StreamSettings


class SSEMiddleware:
    """Streams Server-Sent Events for every endpoint tagged as such.

    ``app.add_middleware(SSEMiddleware, ping_interval=20)``. The keyword arguments are the defaults
    of every stream below; see `StreamSettings`. Of two middlewares the inner one decides.

    Args:
        app: any ASGI application.
        settings: the fields of `StreamSettings`.

    Raises:
        ConfigurationError: an unknown setting, or a value that can't work.
    """

    def __init__(self, app: ASGIApp, **settings: Unpack[StreamOptions]) -> None:
        self.app: ASGIApp = guarantee_single_callable(app)  # type: ignore[no-untyped-call]
        self.settings = StreamSettings.of(settings)
        self._item_types = ItemTypes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Leave a `Handover` in the scope and call the application."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        connection = Connection(receive)
        scope[SCOPE_KEY] = Handover(connection, self.settings, self._item_types)
        if scope["type"] == "http":
            await self.app(scope, connection.receive, connection.sending(send))
        else:
            await self.app(scope, receive, send)
