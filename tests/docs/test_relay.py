"""The examples of docs/relay.md work, and what the page says of them holds."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sse_middleware.relaying.whole_events import LARGEST_EVENT
from sse_middleware.testing import EventClient

pytest.importorskip("fastapi", minversion="0.115.10")

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs" / "relay.md").read_text("utf-8")

DONE = b"data: [DONE]\n\n"


def chunk(content: str) -> bytes:
    delta = {"choices": [{"index": 0, "delta": {"content": content}}]}
    return b"data: %b\n\n" % json.dumps({**delta, "system_fingerprint": "fp"}).encode()


class Model:
    """Answers the requests of the page's client."""

    def __init__(self) -> None:
        self.answer = httpx.Response(500)

    def says(self, *parts: bytes) -> None:
        async def content() -> AsyncIterator[bytes]:
            for part in parts:
                yield part

        headers = {"content-type": "text/event-stream"}
        self.answer = httpx.Response(200, headers=headers, content=content())

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/chat/completions"
        return self.answer


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
async def client(model: Model) -> AsyncIterator[EventClient]:
    names: dict[str, Any] = {"__name__": "docs_relay"}
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(code, names)
    names["client"] = httpx.AsyncClient(
        base_url=names["client"].base_url, transport=httpx.MockTransport(model)
    )
    async with EventClient(names["app"], timeout=1000) as client:
        yield client


async def test_a_chat_passes_byte_for_byte(client: EventClient, model: Model) -> None:
    model.says(chunk("a"), chunk("b"), DONE)
    response = await client.http.post("/chat")
    assert response.content == chunk("a") + chunk("b") + DONE


async def test_a_field_is_removed(client: EventClient, model: Model) -> None:
    model.says(chunk("a"), DONE)
    response = await client.http.post("/anonymous")
    assert response.text == (
        'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n'
    )


async def test_events_are_read_one_by_one(client: EventClient, model: Model) -> None:
    model.says(chunk("a") + chunk("b"), DONE)
    response = await client.http.get("/words")
    assert response.text == 'data: {"word":"a"}\n\ndata: {"word":"b"}\n\ndata: {"word":null}\n\n'


@pytest.mark.parametrize(
    ("status", "answered"), [(400, 400), (422, 422), (429, 429), (401, 502), (500, 502), (503, 503)]
)
async def test_the_handler_passes_on_what_concerns_the_client(
    client: EventClient, model: Model, status: int, answered: int
) -> None:
    headers = {"retry-after": "3", "content-type": "application/json"}
    model.answer = httpx.Response(status, headers=headers, content=b'{"said": "this"}')
    response = await client.http.post("/chat")
    assert response.status_code == answered
    passed = status in (400, 422, 429)
    assert response.json() == (
        {"said": "this"} if passed else {"error": "the model can't be reached"}
    )
    assert response.headers.get("retry-after") == ("3" if status in (429, 503) else None)


def test_the_page_names_the_largest_event() -> None:
    assert f"{LARGEST_EVENT // 2**20} MiB" in PAGE
