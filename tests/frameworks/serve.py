"""``python -m tests.frameworks.serve starlette_app around``: one application on a port of its own.

The port is the first line that is printed. The second argument says where the middleware is:

- ``nowhere``
- ``around``: around the application, which works for any
- ``inside``: where the framework puts middleware of others

Nothing is collected as garbage but when `/over` is asked to, so that nothing ends by chance.
"""

import gc
import socket
import sys
from importlib import import_module
from typing import Any

import anyio
from asgiref.compatibility import guarantee_single_callable
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config, Server

from sse_middleware import SSEMiddleware

PING_INTERVAL = 0.2
"""Seconds: so that tests see silence broken soon."""


class Over:
    """Answers `/over` when the application is done with every request.

    A query makes it collect garbage then.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._requests = 0
        self._changed = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == "/over":
            while self._requests:
                await self._changed.wait()
            if scope["query_string"]:
                gc.collect()
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
        else:
            await self._counted(scope, receive, send)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._requests += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._requests -= 1
            self._changed.set()
            self._changed = anyio.Event()


def equipped(name: str, where: str) -> Any:
    """Return an application, with the middleware where it is wanted."""
    module: Any = import_module(f"tests.frameworks.apps.{name}")
    app = module.app
    if where == "nowhere":
        return guarantee_single_callable(app)  # type: ignore[no-untyped-call]
    if where == "around":
        return SSEMiddleware(app, ping_interval=PING_INTERVAL)
    return with_middleware_inside(name, module)


def with_middleware_inside(name: str, module: Any) -> Any:
    app = module.app
    if name == "quart_app":
        app.asgi_app = SSEMiddleware(app.asgi_app, ping_interval=PING_INTERVAL)
        return app
    if name == "litestar_app":
        from litestar import Litestar  # noqa: PLC0415 - only where it is
        from litestar.middleware import DefineMiddleware  # noqa: PLC0415

        middleware = DefineMiddleware(SSEMiddleware, ping_interval=PING_INTERVAL)
        return Litestar(module.HANDLERS, middleware=[middleware])
    app.add_middleware(SSEMiddleware, ping_interval=PING_INTERVAL)
    return app


def serve(name: str, where: str) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    config = Config(Over(equipped(name, where)), log_level="error")
    gc.disable()
    print(listening.getsockname()[1], flush=True)
    Server(config).run(sockets=[listening])


if __name__ == "__main__":
    serve(*sys.argv[1:])
