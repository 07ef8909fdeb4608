"""`StreamStatsEndpoint`: one answer as JSON, or a stream of changes."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from sse_middleware import (
    CloseReason,
    ConfigurationError,
    SSEMiddleware,
    StreamStatsEndpoint,
    event_stream,
)
from sse_middleware.request_context import RequestContext
from tests.served import ClosedStreams, body_of, call, client_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]

NOTHING = dict.fromkeys([reason.value for reason in CloseReason], 0)


@event_stream
async def numbers(_request: Request) -> AsyncIterator[int]:
    yield 1
    await anyio.sleep(4.5)
    yield 2
    await anyio.sleep_forever()
    yield 0  # it could go on


async def drain(request: Request) -> Response:
    context = RequestContext.find(request.scope)
    assert context is not None
    await context.drain()
    return PlainTextResponse("drained")


def application(interval: float = 1.0, **options: Any) -> Starlette:
    endpoint = StreamStatsEndpoint(interval)
    return Starlette(
        routes=[
            Route("/stats", endpoint),
            Mount("/mounted", endpoint),
            Route("/numbers", numbers),
            Route("/drain", drain),
        ],
        middleware=[Middleware(SSEMiddleware, **{"ping_interval": None, **options})],
    )


class TestJson:
    @pytest.mark.parametrize("path", ["/stats", "/mounted/"])
    @pytest.mark.parametrize("accept", ["*/*", "application/json, text/event-stream", "text/html"])
    async def test_answers_in_json(self, path: str, accept: str) -> None:
        app = application(max_streams_per_client=3)
        async with client_of(app) as client, client.stream("GET", "/numbers") as events:
            await events.next()
            response = await client.http.get(path, headers={"accept": accept})
            assert response.json() == {
                "open": 1,
                "clients": 1,
                "draining": False,
                "opened": 1,
                "closed": NOTHING,
                "events": 1,
                "size": len(b"data: 1\n\n"),
                "waiting": 0,
            }
            assert response.headers["cache-control"] == "no-store"
            assert response.headers["vary"] == "Accept"

    async def test_answers_only_get_and_head(self) -> None:
        async with client_of(application()) as client:
            response = await client.http.post("/mounted/")
            assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")
            assert (await client.http.head("/stats")).status_code == 200

    async def test_closes_a_websocket(self) -> None:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            raise AssertionError

        await StreamStatsEndpoint()({"type": "websocket"}, receive, send)
        assert [message["type"] for message in sent] == ["websocket.close"]

    async def test_needs_the_middleware(self) -> None:
        with pytest.raises(ConfigurationError, match="needs SSEMiddleware"):
            await call(StreamStatsEndpoint())

    @pytest.mark.parametrize("interval", [0, -1, "1", float("inf"), None])
    async def test_refuses_an_invalid_interval(self, interval: Any) -> None:
        with pytest.raises(ConfigurationError, match="interval must be"):
            StreamStatsEndpoint(interval)


class TestStream:
    async def test_sends_what_changes(self) -> None:
        async with client_of(application()) as client, client.stream("GET", "/stats") as watch:
            began = anyio.current_time()
            first = (await watch.next()).json()
            assert (first["open"], first["events"], first["closed"]) == (1, 0, NOTHING)
            assert watch.response.headers["vary"] == "Accept"
            async with client.stream("GET", "/numbers") as events:
                await events.next()
                opened = (await watch.next()).json()
                assert (opened["open"], opened["opened"], opened["events"]) == (2, 2, 2)
                assert anyio.current_time() - began == pytest.approx(1)
                sent = (await watch.next()).json()
                assert (sent["open"], sent["events"]) == (2, 4), (
                    "the stream of the statistics counts too"
                )
                assert anyio.current_time() - began == pytest.approx(5)
            left = (await watch.next()).json()
            assert (left["open"], left["closed"]["client_disconnected"]) == (1, 1)
            assert anyio.current_time() - began == pytest.approx(6)

    async def test_two_watchers_are_not_news_to_each_other(self) -> None:
        async with (
            client_of(application(ping_interval=7)) as client,
            client.stream("GET", "/stats") as one,
        ):
            await one.next()
            async with client.stream("GET", "/stats") as two:
                assert (await two.next()).json()["open"] == 2
                assert (await one.next()).json()["open"] == 2
                await anyio.sleep(600)
                assert len(one.received) == 2
                assert len(two.received) == 1
            assert (await one.next()).json()["open"] == 1
            await anyio.sleep(600)
            assert len(one.received) == 3

    async def test_looks_once_in_each_interval(self) -> None:
        async with client_of(application(0.25)) as client, client.stream("GET", "/stats") as watch:
            began = anyio.current_time()
            await watch.next()
            async with client.stream("GET", "/numbers"):
                await watch.next()
                assert anyio.current_time() - began == pytest.approx(0.25)

    async def test_ends_by_itself_when_the_application_drains(self) -> None:
        closed_streams = ClosedStreams()
        async with client_of(application(60, observers=[closed_streams], drain_grace=30)) as client:
            async with client.stream("GET", "/stats") as watch:
                await watch.next()
                began = anyio.current_time()
                assert (await client.http.get("/drain")).text == "drained"
                assert anyio.current_time() == pytest.approx(began)
                assert [event.json()["draining"] async for event in watch] == [True]
            assert closed_streams.reasons == [CloseReason.FINISHED]
            response = await client.http.get("/stats")
            assert response.json()["draining"] is True
            refused = await client.http.get("/stats", headers={"accept": "text/event-stream"})
            assert refused.status_code == 503

    async def test_one_endpoint_may_serve_several_applications(self) -> None:
        endpoint = StreamStatsEndpoint()
        apps = [SSEMiddleware(endpoint, ping_interval=None) for _ in range(2)]
        async with client_of(apps[0]) as one, one.stream("GET", "/") as watch:
            await watch.next()
            assert b'"open":0' in await body_of(apps[1])
            async with client_of(apps[1]) as two, two.stream("GET", "/") as other:
                assert (await other.next()).json()["open"] == 1
                await anyio.sleep(100)
                assert len(watch.received) == len(other.received) == 1

    async def test_ends_when_the_client_leaves_whatever_on_disconnect_says(self) -> None:
        closed_streams = ClosedStreams()
        app = application(observers=[closed_streams], on_disconnect="finish")
        async with client_of(app) as client:
            async with client.stream("GET", "/stats") as watch:
                await watch.next()
            assert closed_streams.reasons == [CloseReason.CLIENT_DISCONNECTED]
            assert (await client.http.get("/stats")).json()["open"] == 0

    async def test_ends_when_the_client_does_not_read(self) -> None:
        async def never(message: Any) -> None:
            if message["type"] == "http.response.body":
                await anyio.sleep_forever()

        closed_streams = ClosedStreams()
        app = SSEMiddleware(
            StreamStatsEndpoint(),
            observers=[closed_streams],
            on_disconnect="finish",
            send_timeout=5,
        )
        headers = [(b"accept", b"text/event-stream")]
        request = {"type": "http", "method": "GET", "path": "/", "headers": headers}
        receive: Any = anyio.sleep_forever
        with anyio.fail_after(100):
            await app(request, receive, never)
        assert closed_streams.reasons == [CloseReason.SEND_TIMEOUT]
