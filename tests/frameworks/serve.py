"""``python -m tests.frameworks.serve starlette_app``: one application, bare and wrapped.

Both answer in one process, each on a port of its own, which are printed first.
"""

import socket
import sys
from importlib import import_module
from typing import Any

from asgiref.compatibility import guarantee_single_callable
from starlette.types import Receive, Scope, Send
from uvicorn import Config, Server

from sse_middleware import SSEMiddleware

PING_INTERVAL = 0.2
"""Seconds: so that tests see silence broken soon."""


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def serve(name: str) -> None:
    app = import_module(f"tests.frameworks.apps.{name}").app
    bare: Any = guarantee_single_callable(app)  # type: ignore[no-untyped-call]
    wrapped = SSEMiddleware(app, ping_interval=PING_INTERVAL)
    sockets = [listening(), listening()]
    bare_port = sockets[0].getsockname()[1]

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        is_bare = scope["type"] == "http" and scope["server"][1] == bare_port
        await (bare if is_bare else wrapped)(scope, receive, send)

    config = Config(either, log_level="critical")
    config.load()
    print(*(one.getsockname()[1] for one in sockets), flush=True)
    Server(config).run(sockets=sockets)


if __name__ == "__main__":
    serve(sys.argv[1])
