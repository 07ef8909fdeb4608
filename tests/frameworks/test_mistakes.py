"""`event_stream` and `EventSourceResponse` in frameworks that they are made for, and in others."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

pytestmark = pytest.mark.e2e


def run(program: str) -> str:
    """Run a program, and return what it prints. What is imported decides what the tag does."""
    done = subprocess.run(
        [sys.executable, "-c", dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


LITESTAR = """
    from collections.abc import AsyncIterator, Iterator
    from typing import Annotated, Any
    {first}
    from litestar import Controller, Litestar, Request, get
    from litestar.testing import TestClient
    from sse_middleware import EventSourceResponse, SSEMiddleware, event_stream

    {handler}

    app = Litestar([handler])
    with TestClient(SSEMiddleware(app)) as client:
        answer = client.get("/?count=2")
        print(answer.status_code, answer.headers["content-type"], answer.text)
        document = client.get("/schema/openapi.json").json()
        print([one["name"] for one in document["paths"]["/"]["get"].get("parameters", [])])
"""

HANDLERS = {
    "tagged": """
    @get("/")
    @event_stream
    async def handler(count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number
    """,
    "tagged with settings, of a request": """
    @get("/")
    @event_stream(ping_interval=5)
    async def handler(request: Request, count: int = 5) -> AsyncIterator[int]:
        assert request.url.path == "/"
        for number in range(count):
            yield number
    """,
    "a method": """
    class handler(Controller):
        @get("/")
        @event_stream
        async def numbers(self, count: int) -> AsyncIterator[int]:
            for number in range(count):
                yield number
    """,
    "returns the response": """
    @get("/")
    async def handler(count: int) -> EventSourceResponse:
        return EventSourceResponse(range(count))
    """,
}


@pytest.mark.parametrize("first", ["", "import sse_middleware.endpoint"])
@pytest.mark.parametrize("handler", HANDLERS)
def test_litestar_streams(handler: str, first: str) -> None:
    pytest.importorskip("litestar")
    program = dedent(LITESTAR).format(first=first, handler=dedent(HANDLERS[handler]))
    assert run(program) == (
        "200 text/event-stream; charset=utf-8 data: 0\n\ndata: 1\n\n\n['count']\n"
    )


def test_a_litestar_handler_that_is_annotated_with_another_response_is_told() -> None:
    pytest.importorskip("litestar")
    printed = run(
        """
        from litestar import Litestar, Response, get
        from litestar.testing import TestClient
        from sse_middleware import EventSourceResponse

        @get("/", sync_to_thread=False)
        def handler() -> Response[str]:
            return EventSourceResponse([1])

        async def show(error, scope):
            print(error)

        with TestClient(
            Litestar([handler], after_exception=[show]), raise_server_exceptions=False
        ) as client:
            client.get("/")
        """
    )
    assert "must be annotated with -> EventSourceResponse" in printed


def test_above_the_decorator_of_litestar_the_tag_is_refused() -> None:
    pytest.importorskip("litestar")
    printed = run(
        """
        from litestar import get
        from sse_middleware import event_stream

        @get("/", sync_to_thread=False)
        def handler() -> int: ...

        try:
            event_stream(handler)
        except TypeError as error:
            print(error)
        """
    )
    assert "write @event_stream below the route's decorator" in printed


@pytest.mark.parametrize("client", ["Client", "AsyncClient"])
@pytest.mark.parametrize(
    ("view", "name"),
    [
        ("async def view(request): return EventSourceResponse(numbers())", "numbers"),
        ("def view(request): return EventSourceResponse(numbers())", "numbers"),
        ("@event_stream\nasync def view(request):\n    yield 1", "__main__.view"),
    ],
)
def test_a_django_view_can_not_return_it(client: str, view: str, name: str) -> None:
    pytest.importorskip("django")
    program = f"""
import asyncio, inspect, sys
import django
from django.conf import settings
settings.configure(ROOT_URLCONF="__main__", ALLOWED_HOSTS=["*"], SECRET_KEY="x")
django.setup()
from django.test import AsyncClient, Client
from django.urls import path
from sse_middleware import EventSourceResponse, event_stream

async def numbers():
    yield 1

{view}

urlpatterns = [path("", view)]

async def get():
    return await AsyncClient().get("/")

try:
    asyncio.run(get()) if {client!r} == "AsyncClient" else Client().get("/")
except TypeError as error:
    print(error)
"""
    printed: Any = run(program)
    assert printed.startswith(f"{name}: an EventSourceResponse is a response for ASGI")
    assert "streaming response" in printed
