"""The MCP SDK: its own client talks to its own server, through the middleware and without it."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from tests.frameworks.test_frameworks import PATIENCE

mcp = pytest.importorskip("mcp")

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", params=["mcp_app", "mcp_json_app"])
def ports(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    command = [sys.executable, "-m", "tests.frameworks.serve", request.param]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()
        finally:
            process.kill()


async def session(port: str) -> tuple[list[str], list[float], Any]:
    """Return the tools, the progress that was reported, and what the tool answered."""
    progress: list[float] = []

    async def report(at: float, _total: float | None, _message: str | None) -> None:
        progress.append(at)

    with anyio.fail_after(PATIENCE):
        async with mcp.Client(f"http://127.0.0.1:{port}/mcp") as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            answer = await client.call_tool("count", {"to": 20}, progress_callback=report)
    return tools, progress, answer.structured_content


async def test_a_session_is_the_same_through_the_middleware(ports: list[str]) -> None:
    bare, wrapped = [await session(port) for port in ports]
    assert wrapped == bare
    assert wrapped[0] == ["count"]
    assert wrapped[2] == {"result": 20}
