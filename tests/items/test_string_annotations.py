"""An endpoint whose annotations are strings, as with ``from __future__ import annotations``."""

from __future__ import annotations

from collections.abc import AsyncIterator  # noqa: TC003 - evaluated at runtime
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel

from sse_middleware import SSEMiddleware, event_stream
from sse_middleware.testing import EventClient

pytestmark = pytest.mark.anyio

app = FastAPI()
app.add_middleware(SSEMiddleware)


class Item(BaseModel):
    name: str


async def user() -> str:
    return "me"


@app.post("/{number}")
@event_stream
async def events(
    number: int, item: Item, name: Annotated[str, Depends(user)]
) -> AsyncIterator[Item]:
    yield {"name": f"{name} {number} {item.name}", "secret": 1}  # type: ignore[misc]


async def test_they_are_evaluated_where_the_endpoint_was_written() -> None:
    async with EventClient(app) as client:
        response = await client.http.post("/7", json={"name": "a"})
    assert response.content == b'data: {"name":"me 7 a"}\n\n'
