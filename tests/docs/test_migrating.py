"""The examples of docs/migrating.md work, and both halves of each mean the same."""

import json
import re
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import fastapi
import httpx
import pytest

from sse_middleware import SSEMiddleware
from sse_middleware.wire import EventStreamDecoder, MessageEvent, ReconnectionTime
from tests.served import client_of

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs" / "migrating.md").read_text("utf-8")


def need(heading: str) -> None:
    """Skip if an import of the first half of a section is missing, or has another version."""
    if heading == "sse-starlette" and tuple(map(int, version("sse-starlette").split(".")[:2])) < (
        3,
        7,
    ):
        pytest.skip("another version may send other bytes")
    needed = {"fastapi.sse": "fastapi.sse", "Litestar": "litestar"}
    pytest.importorskip(needed.get(heading, "starlette"))


def blocks(heading: str) -> list[str]:
    section = re.split(r"^## ", PAGE.partition(f"## From {heading}\n")[2], flags=re.MULTILINE)[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


SECTIONS = {
    heading: len(blocks(heading)) for heading in re.findall(r"^## From (.*)$", PAGE, re.MULTILINE)
}


def app_of(code: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run an example as a module, in which its annotations are evaluated."""
    module = ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)
    exec(compile(code, "docs/migrating.md", "exec"), module.__dict__)
    return module.app


async def answer(app: Any) -> httpx.Response:
    async with client_of(app) as client:
        return await client.http.get("/", headers={"accept": "text/event-stream"})


def meanings(body: bytes) -> list[Any]:
    """Return what a client sees, JSON by its value."""
    return [
        (_value(one.data), one.type, one.last_event_id) if isinstance(one, MessageEvent) else one
        for one in EventStreamDecoder().feed(body)
        if isinstance(one, MessageEvent | ReconnectionTime)
    ]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def test_the_page_has_its_sections() -> None:
    assert SECTIONS == {
        "fastapi.sse": 2,
        "sse-starlette": 3,
        "StreamingResponse": 2,
        "Litestar": 2,
    }


@pytest.mark.parametrize(
    ("heading", "later"),
    [(heading, later) for heading, count in SECTIONS.items() for later in range(1, count)],
)
async def test_the_second_half_means_the_same(
    heading: str, later: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(heading)
    shown = blocks(heading)
    before = await answer(app_of(shown[0], monkeypatch))
    after = await answer(app_of(shown[later], monkeypatch))
    assert after.status_code == before.status_code == 200
    assert meanings(after.content) == meanings(before.content)
    assert len(meanings(after.content)) >= 2


@pytest.mark.parametrize("heading", SECTIONS)
async def test_the_first_step_changes_no_byte(
    heading: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(heading)
    shown = blocks(heading)[0]
    before = await answer(app_of(shown, monkeypatch))
    after = await answer(SSEMiddleware(app_of(shown, monkeypatch)))
    assert after.content == before.content


async def test_the_names_of_sse_starlette_change_no_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    need("sse-starlette")
    before, after, _ = (app_of(code, monkeypatch) for code in blocks("sse-starlette"))
    assert (await answer(after)).content == (await answer(before)).content


def test_the_line_that_adds_the_middleware() -> None:
    line = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert line is not None
    app = fastapi.FastAPI()
    exec(line[1], {"app": app, "SSEMiddleware": SSEMiddleware})
    added: Any = app.user_middleware[0].cls
    assert added is SSEMiddleware
