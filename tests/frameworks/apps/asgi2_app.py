"""An application of ASGI 2: called twice, first with the scope."""

from collections.abc import Awaitable, Callable
from typing import Any

from tests.frameworks.apps.starlette_app import app as single


def app(scope: dict[str, Any]) -> Callable[[Any, Any], Awaitable[None]]:
    async def instance(receive: Any, send: Any) -> None:
        await single(scope, receive, send)

    return instance
