"""`last_event_id`: the id that a client sends back, in Starlette and as a FastAPI dependency."""

from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.routing import Route

from sse_middleware import ServerSentEvent, event_stream, last_event_id
from tests.served import client_of

pytestmark = pytest.mark.anyio


def by_starlette() -> Any:
    @event_stream
    async def events(request: Request) -> Any:
        yield ServerSentEvent(data=last_event_id(request))

    return Starlette(routes=[Route("/", events)])


def by_fastapi() -> Any:
    app = FastAPI()

    @app.get("/")
    @event_stream
    async def events(last: Annotated[str, Depends(last_event_id)]) -> Any:
        yield ServerSentEvent(data=last)

    return app


@pytest.mark.parametrize("make", [by_starlette, by_fastapi])
@pytest.mark.parametrize(
    ("path", "header", "found"),
    [
        ("/", None, ""),
        ("/", "ü€".encode(), "ü€"),
        ("/", b"\xfc", "ü"),
        ("/?last_event_id=%C3%BC", None, "ü"),
        ("/?last_event_id=2", b"1", "1"),
        ("/?last_event_id=a%0Ab", None, ""),
    ],
)
async def test_the_id_comes_back(make: Any, path: str, header: Any, found: str) -> None:
    headers = {} if header is None else {b"Last-Event-ID": header}
    async with client_of(make()) as client, client.stream("GET", path, headers=headers) as events:
        assert (await events.next()).json() == found


def test_fastapi_documents_no_parameter() -> None:
    assert "parameters" not in by_fastapi().openapi()["paths"]["/"]["get"]


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_scope_may_lack_headers_and_query(kind: str) -> None:
    assert last_event_id(HTTPConnection({"type": kind})) == ""
    headers = [(b"last-event-id", b"7")]
    assert last_event_id(HTTPConnection({"type": kind, "headers": headers})) == "7"
