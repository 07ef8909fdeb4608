"""`SSEMiddleware` around any ASGI application."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from sse_middleware import ConfigurationError, EventSourceResponse, SSEMiddleware
from sse_middleware.testing import EventClient
from tests.served import body_of, client_of

pytestmark = pytest.mark.anyio


async def items() -> AsyncIterator[int]:
    yield 1


async def test_what_is_no_stream_passes_untouched() -> None:
    seen: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((await receive())["body"])
        await PlainTextResponse("plain")(scope, receive, send)

    async with client_of(SSEMiddleware(app)) as client:
        response = await client.http.post("/", content=b"request")
    assert seen == [b"request"]
    assert dict(response.headers) == {
        "content-type": "text/plain; charset=utf-8",
        "content-length": "5",
    }
    assert response.content == b"plain"


async def test_an_application_of_two_callables_is_accepted() -> None:
    class Application:
        def __init__(self, scope: Any) -> None:
            self.scope = scope

        async def __call__(self, receive: Any, send: Any) -> None:
            await EventSourceResponse(items())(self.scope, receive, send)

    assert await body_of(SSEMiddleware(Application)) == b"data: 1\n\n"  # type: ignore[arg-type]


async def test_lifespan_passes() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert list(scope) == ["type", "asgi", "state"], "nothing of ours is added"
        for phase in ("startup", "shutdown"):
            seen.append((await receive())["type"])
            await send({"type": f"lifespan.{phase}.complete"})

    async with EventClient(SSEMiddleware(app)):
        assert seen == ["lifespan.startup"]
    assert seen == ["lifespan.startup", "lifespan.shutdown"]


async def test_a_scope_of_a_kind_to_come_passes_untouched() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend([scope, receive, send])

    given: list[Any] = [{"type": "tcp"}, print, repr]
    await SSEMiddleware(app)(*given)
    assert seen == given == [{"type": "tcp"}, print, repr]


def test_an_unknown_setting_is_refused_where_it_is_made() -> None:
    with pytest.raises(ConfigurationError, match=r"'ping_intervall'.*'ping_interval'"):
        SSEMiddleware(EventSourceResponse([]), ping_intervall=5)  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match=r"ping_interval .* 0"):
        SSEMiddleware(EventSourceResponse([]), ping_interval=0)
