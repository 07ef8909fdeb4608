"""The documents that docs/openapi.md shows."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from examples.app import app as example
from sse_middleware import sse_openapi
from sse_middleware.testing import EventClient
from tests.docs.pages import ROOT

pytestmark = pytest.mark.anyio


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text("utf-8"), re.DOTALL)


def run(*codes: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "documented"}
    for code in codes:
        exec(compile(code, "docs/openapi.md", "exec", dont_inherit=True), names)
    return names


PAGE = ROOT / "docs/openapi.md"
FASTAPI, BY_HAND, VERSION, STARLETTE = blocks(PAGE, "python")


async def test_by_the_middleware() -> None:
    async with EventClient(run(FASTAPI)["app"]) as client:
        document = (await client.http.get("/openapi.json")).json()
    shown, _ = blocks(PAGE, "json")
    assert document["paths"]["/prices"]["get"]["responses"]["200"]["content"] == json.loads(shown)
    assert list(document["components"]["schemas"]) == ["Price"]


def test_without_a_request() -> None:
    names = run(FASTAPI, BY_HAND)
    assert json.loads(names["document"]) == names["app"].openapi()
    assert "itemSchema" in names["document"]


def test_with_a_version() -> None:
    assert run(FASTAPI, BY_HAND, VERSION)["app"].openapi()["openapi"] == "3.1.0"


def test_with_the_type_of_the_data() -> None:
    document = sse_openapi(run(FASTAPI)["app"], data_schema=True)
    body = document["paths"]["/prices"]["get"]["responses"]["200"]["content"]["text/event-stream"]
    assert f'"schema": {json.dumps(body["schema"])}' in PAGE.read_text("utf-8")


def test_with_starlette() -> None:
    pytest.importorskip("yaml")
    reference = {"$ref": "#/components/responses/Prices"}
    document = run(STARLETTE)["document"]
    assert document["paths"]["/prices"]["get"] == {"responses": {200: reference}}
    assert list(document["components"]["responses"]) == ["Prices"]


def test_the_example_at_the_end() -> None:
    _, shown = blocks(PAGE, "json")
    paths = sse_openapi(example)["paths"]
    assert json.loads(shown) == {
        path: {
            method: operation["responses"]["200"]["content"]
            for method, operation in operations.items()
        }
        for path, operations in paths.items()
        if path != "/"
    }
