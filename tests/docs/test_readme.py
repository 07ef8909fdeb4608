"""The examples of the README work."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

import sse_middleware
from sse_middleware.testing import EventClient

ROOT = Path(__file__).parents[2]


def code_under(heading: str) -> str:
    section = (ROOT / "README.md").read_text("utf-8").partition(f"## {heading}\n")[2]
    block = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert block, heading
    return block[1]


def test_the_test_of_an_endless_stream(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(code_under("Test your streams"), "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout  # on asyncio and on trio


@pytest.mark.anyio
async def test_a_broadcast() -> None:
    names: dict[str, Any] = {"app": FastAPI()}
    names |= {name: getattr(sse_middleware, name) for name in sse_middleware.__all__}
    exec(code_under("Broadcasting"), names)
    async with (
        EventClient(names["app"]) as client,
        client.stream("GET", "/rooms/lobby/events") as events,
    ):
        await events.next_id()
        await names["hub"].publish("lobby", {"text": "hello"})
        assert (await events.next()).json() == {"text": "hello"}
