"""The MCP SDK's own client calls a tool, also where its answer is broken off and resumed."""

from typing import Any

import httpx
import pytest

from tests.patience import PATIENCE
from tests.presets.clients.conftest import client_library

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]

mcp: Any = client_library("mcp")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("to", [3, 40])  # the latter takes two seconds, and a stream lives for one
async def test_a_tool_reports_and_answers(example: str, to: int) -> None:
    progress: list[float] = []

    async def report(at: float, _total: float | None, _message: str | None) -> None:
        progress.append(at)

    async with mcp.Client(f"{example}/mcp", mode="legacy") as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        answer = await client.call_tool("count", {"to": to}, progress_callback=report)
    assert tools == ["count"]
    assert answer.content[0].text == str(to)
    assert progress == list(range(to))


async def test_a_client_that_does_not_accept_events_gets_json(example: str) -> None:
    params = {"name": "count", "arguments": {"to": 40}}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        headers = {"accept": "application/json"}
        answer = await client.post(f"{example}/mcp", json=call, headers=headers)
    assert answer.json()["result"]["content"] == [{"type": "text", "text": "40"}]
