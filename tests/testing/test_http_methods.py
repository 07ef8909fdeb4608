"""`client.get(...)` and its like: as httpx has them, for requests that open no stream."""

import json
from collections.abc import AsyncIterator, Iterator
from inspect import signature
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sse_middleware import event_stream
from sse_middleware.testing import (
    EventClient,
    NoAnswerError,
    SyncEventClient,
    UsageError,
    VirtualTime,
)
from sse_middleware.testing.http_methods import HttpMethods

METHODS = ["GET", "OPTIONS", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
each_method = pytest.mark.parametrize("method", METHODS)

log: list[str] = []


async def echo(request: Request) -> Response:
    names = ("accept", "x-all", "x-one", "content-type", "cookie")
    headers = {name: request.headers.get(name) for name in names}
    query, text = str(request.query_params), (await request.body()).decode()
    seen = {"method": request.method, "headers": headers, "query": query, "body": text}
    return JSONResponse(seen, headers={"x-method": request.method, "set-cookie": "a=b"})


async def away(request: Request) -> Response:
    return RedirectResponse("/")


async def fails(request: Request) -> Response:
    raise LookupError("in the endpoint")


@event_stream
async def endless(request: Request) -> AsyncIterator[int]:
    try:
        while True:
            yield 1
            await anyio.sleep(1)
    finally:
        log.append("finally")


@event_stream
async def slow(request: Request) -> AsyncIterator[int]:
    yield 1
    await anyio.sleep(60)
    yield 2


@pytest.fixture
def app() -> Iterator[ASGIApp]:
    routes = [
        Route("/", echo, methods=METHODS),
        Route("/away", away),
        Route("/fails", fails),
        Route("/endless", endless),
        Route("/slow", slow),
    ]
    log.clear()
    yield Starlette(routes=routes)
    log.clear()


def test_has_the_methods_of_httpx() -> None:
    ours = {name for name in vars(HttpMethods) if not name.startswith("_")} - {"request"}
    assert ours == {method.lower() for method in METHODS}
    for client in (EventClient, SyncEventClient):
        for name in (*ours, "request"):
            first = [*signature(getattr(client, name)).parameters][:2]
            assert first == [*signature(getattr(httpx.Client, name)).parameters][:2]


@pytest.mark.anyio
class TestAsynchronous:
    @each_method
    async def test_sends_what_httpx_would(self, app: ASGIApp, method: str) -> None:
        async with EventClient(app, headers={"x-all": "1"}) as client:
            send = getattr(client, method.lower())
            response = await send("/", params={"q": "1 2"}, headers={"x-one": "2"})
            assert response.headers["x-method"] == method
            if method != "HEAD":
                assert response.json()["query"] == "q=1+2"
                assert response.json()["headers"] | {"x-all": "1", "x-one": "2"} == {
                    **response.json()["headers"],
                    "accept": "*/*",
                }

    async def test_bodies_and_cookies(self, app: ASGIApp) -> None:
        async with EventClient(app) as client:
            first = (await client.post("/", json={"a": [1]})).json()
            assert (json.loads(first["body"]), first["headers"]["cookie"]) == ({"a": [1]}, None)
            second = (await client.put("/", data={"a": "b"})).json()
            assert (second["body"], second["headers"]["cookie"]) == ("a=b", "a=b")
            third = (await client.request("PATCH", "/", content=b"raw")).json()
            assert third["body"] == "raw"

    async def test_redirects_as_httpx_does(self, app: ASGIApp) -> None:
        async with EventClient(app) as client:
            assert (await client.get("/away")).status_code == 307
            assert (await client.get("/away", follow_redirects=True)).status_code == 200

    async def test_an_error_of_the_application_is_raised(self, app: ASGIApp) -> None:
        async with EventClient(app) as client:
            with pytest.raises(LookupError, match="in the endpoint"):
                await client.get("/fails")

    async def test_a_stream_that_ends_in_time_can_be_read_whole(self, app: ASGIApp) -> None:
        async with EventClient(app) as client:
            response = await client.get("/slow", timeout=61)
            assert response.content.startswith(b"data: 1\n\n: ping\n\n")
            assert response.content.endswith(b"data: 2\n\n")
        async with EventClient(app, timeout=61) as client:
            assert (await client.get("/slow")).content.endswith(b"data: 2\n\n")

    @pytest.mark.parametrize(("given", "expected"), [(None, 5), (2.5, 2.5), (0, 0)])
    async def test_a_stream_that_goes_on_is_an_error_that_names_the_way_out(
        self, app: ASGIApp, given: float | None, expected: float
    ) -> None:
        async with EventClient(app) as client:
            began = anyio.current_time()
            with pytest.raises(NoAnswerError) as caught:
                await client.get("/endless", timeout=given)
            assert anyio.current_time() - began == pytest.approx(expected, abs=2)
            assert str(caught.value) == (
                f"GET /endless: the response has not ended within {expected:g} s; to read a stream "
                "while it is sent, use client.stream('GET', '/endless')"
            )
        assert log == ["finally"]

    async def test_the_client_can_be_used_after_it(self, app: ASGIApp) -> None:
        async with EventClient(app) as client:
            with pytest.raises(NoAnswerError):
                await client.get("/endless")
            async with client.stream("GET", "/endless") as events:
                assert len(await events.take(3)) == 3
            assert (await client.get("/")).status_code == 200

    async def test_outside_of_the_clients_block(self, app: ASGIApp) -> None:
        client = EventClient(app)
        with pytest.raises(UsageError, match="async with EventClient"):
            await client.get("/")
        async with client:
            pass
        with pytest.raises(UsageError, match="async with EventClient"):
            await client.post("/")

    async def test_next_to_an_open_stream(self, app: ASGIApp) -> None:
        async with EventClient(app) as client, client.stream("GET", "/endless") as events:
            await events.next()
            assert (await client.delete("/")).status_code == 200
            await events.next()


class TestSynchronous:
    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_sends_what_httpx_would(self, app: ASGIApp, backend: str) -> None:
        with SyncEventClient(app, backend=backend, headers={"x-all": "1"}) as client:
            for method in METHODS:
                response = getattr(client, method.lower())("/", params={"q": 1})
                assert response.headers["x-method"] == method
            seen: dict[str, Any] = client.post("/", json={"a": 1}).json()
            assert (json.loads(seen["body"]), seen["headers"]["x-all"]) == ({"a": 1}, "1")
            assert client.request("PUT", "/", content=b"raw").json()["body"] == "raw"

    def test_a_stream_that_goes_on_is_an_error(self, app: ASGIApp) -> None:
        with (
            SyncEventClient(app, time=VirtualTime()) as client,
            pytest.raises(NoAnswerError, match=r"within 5 s; .* client\.stream\('GET'"),
        ):
            client.get("/endless")
