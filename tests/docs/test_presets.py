"""Each example of docs/presets.md sends the bytes that the page shows."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.served import client_of

pytest.importorskip("fastapi", minversion="0.115.10")

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs" / "presets.md").read_text("utf-8")
BLOCK = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "docs_presets"}
    for code, _ in BLOCK.findall(PAGE):
        exec(code, names)
    return names


@pytest.mark.parametrize(("code", "wire"), BLOCK.findall(PAGE))
async def test_the_wire_is_as_it_is_shown(namespace: dict[str, Any], code: str, wire: str) -> None:
    shown = re.search(r"@app\.(\w+)\(\"(.*?)\"\)", code)
    assert shown
    options: Any = {"json": {"id": 1}} if shown[2] == "/mcp" else {}
    async with client_of(namespace["app"]) as client:
        response = await client.http.request(shown[1], shown[2], **options)
    assert response.text == wire


def test_every_preset_has_its_section() -> None:
    assert len(BLOCK.findall(PAGE)) == 7
