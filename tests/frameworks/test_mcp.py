"""The MCP SDK: its own client talks to its own server, through the middleware and without it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest

from sse_middleware.wire import Comment, EventStreamDecoder
from tests.frameworks.conftest import Serve
from tests.frameworks.running import Running
from tests.patience import PATIENCE

mcp = pytest.importorskip("mcp")

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]

TO = 50
"""How far the tool counts, and so how often it reports."""

MODES = ["legacy", "auto"]
"""With sessions and a GET stream, as until 2025, and without."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["mcp_app", "mcp_json_app"])
def name(request: pytest.FixtureRequest) -> str:
    """Return the name of an application that answers with events, or one that does with JSON."""
    name: str = request.param
    return name


@pytest.fixture(params=["around", "inside"])
def where(request: pytest.FixtureRequest) -> str:
    place: str = request.param
    return place


def url_of(app: Running) -> str:
    return f"http://127.0.0.1:{app.port}/mcp"


async def session(app: Running, mode: str) -> tuple[list[str], list[float], Any]:
    """Return the tools, the progress that was reported, and what the tool answered."""
    progress: list[float] = []

    async def report(at: float, _total: float | None, _message: str | None) -> None:
        progress.append(at)

    with anyio.fail_after(PATIENCE):
        async with mcp.Client(url_of(app), mode=mode) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            answer = await client.call_tool("count", {"to": TO}, progress_callback=report)
    return tools, progress, answer.structured_content


@pytest.mark.parametrize("mode", MODES)
async def test_a_session_is_the_same_through_the_middleware(
    serve: Serve, name: str, where: str, mode: str
) -> None:
    answers = await session(serve(name, where), mode)

    assert answers == await session(serve(name, "nowhere"), mode)
    assert answers[0] == ["count", "change"]
    assert answers[1] == ([float(number) for number in range(TO)] if name == "mcp_app" else [])
    assert answers[2] == {"result": TO}


async def test_notifications_of_the_server_arrive(serve: Serve, name: str, where: str) -> None:
    """They come by the GET stream, whatever the responses are."""
    app = serve(name, where)
    changed = anyio.Event()

    async def on_message(message: Any) -> None:
        if isinstance(message, mcp.types.ToolListChangedNotification):
            changed.set()

    with anyio.fail_after(PATIENCE):
        async with mcp.Client(url_of(app), mode="legacy", message_handler=on_message) as client:
            while not changed.is_set():  # it may not listen yet
                await client.call_tool("change", {})


async def test_a_subscription_gets_its_notifications(serve: Serve, name: str, where: str) -> None:
    """With the protocol without sessions."""
    app = serve(name, where)
    with anyio.fail_after(PATIENCE):
        async with (
            mcp.Client(url_of(app)) as client,
            client.listen(tools_list_changed=True) as subscription,
        ):
            await client.call_tool("change", {})
            assert "Tools" in type(await anext(aiter(subscription))).__name__


@asynccontextmanager
async def get_stream(client: httpx.AsyncClient, url: str) -> AsyncIterator[httpx.Response]:
    """Open a session, and its GET stream."""
    hello = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "0"},
    }
    message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
    both = {"accept": "application/json, text/event-stream"}
    answer = await client.post(url, json=message, headers=both)
    headers = {"accept": "text/event-stream", "mcp-session-id": answer.headers["mcp-session-id"]}
    async with client.stream("GET", url, headers=headers) as stream:
        yield stream


async def test_its_get_stream_is_kept_alive_and_ends_with_its_client(
    serve: Serve, name: str, where: str
) -> None:
    """The server has pings of its own, which come much later."""
    app = serve(name, where)
    found: list[object] = []
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        with anyio.fail_after(PATIENCE):
            async with get_stream(client, url_of(app)) as stream:
                assert stream.status_code == 200
                decoder = EventStreamDecoder()
                async for chunk in stream.aiter_bytes():
                    found += decoder.feed(chunk)
                    if found.count(Comment("ping")) == 2:
                        break

    await anyio.to_thread.run_sync(app.wait_until_over)
    assert set(map(repr, found)) == {repr(Comment("ping"))}
