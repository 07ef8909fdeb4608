"""The kit works with streams of any origin: ours, by hand, and those of other libraries."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import httpx
import pytest
from starlette.types import ASGIApp

from sse_middleware.testing import EventClient, StreamingTransport, SyncEventClient, VirtualTime
from sse_middleware.wire import EventStreamDecoder, MessageEvent
from tests.testing.peers import LONG, PEERS, Peer
from tests.testing.portals import ON_PORTALS

pytestmark = [
    pytest.mark.anyio,
    # Some leave the generator of a burst to the garbage collector, and trio says so.
    pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning"),
]

THREE = [{"number": number} for number in range(3)]
BOUND = 10_000
"""Events of a burst that may be made while no one reads: ten megabytes."""


@pytest.fixture(params=PEERS, ids=lambda peer: peer.make.__name__)
def peer(request: pytest.FixtureRequest) -> Peer:
    peer: Peer = request.param
    return peer


class TestStream:
    async def test_events_come_in_order_and_to_their_end(self, peer: Peer) -> None:
        app, _ = peer.app()
        async with EventClient(app) as client, client.stream("GET", "/three") as events:
            assert [event.json() async for event in events] == THREE

    async def test_the_head_arrives_before_the_end_of_the_body(self, peer: Peer) -> None:
        app, log = peer.app()
        async with EventClient(app) as client, client.stream("GET", "/endless") as events:
            assert events.response.status_code == 200
            assert events.response.headers["content-type"].startswith("text/event-stream")
            assert not log

    async def test_an_endless_stream_can_be_read(self, peer: Peer) -> None:
        app, _ = peer.app()
        async with EventClient(app) as client, client.stream("GET", "/endless") as events:
            assert [event.json() for event in await events.take(50)] == [*range(50)]
            began = anyio.current_time()
            await events.take(100)
            assert anyio.current_time() - began == pytest.approx(100, abs=2)

    async def test_the_generator_has_ended_when_the_disconnect_returns(self, peer: Peer) -> None:
        app, log = peer.app()
        async with EventClient(app) as client, client.stream("GET", "/endless") as events:
            await events.take(2)
            assert log == []
            await events.disconnect()
            assert log == ["finally"]

    async def test_a_burst_waits_for_its_reader(self, peer: Peer) -> None:
        app, log = peer.app()
        async with EventClient(app) as client, client.stream("GET", "/burst") as events:
            assert (await events.next()).json() == LONG
            await anyio.sleep(10)
            seen = len(log)
            assert seen < BOUND
            await anyio.sleep(10)  # any longer, and a client that doesn't read is cut off
            assert len(log) == seen
            await events.take(200)
            with suppress(*peer.may_raise_when_left):
                await events.disconnect()

    async def test_two_streams_are_independent(self, peer: Peer) -> None:
        app, log = peer.app()
        async with (
            EventClient(app) as client,
            client.stream("GET", "/endless") as one,
            client.stream("GET", "/endless") as two,
        ):
            await one.take(3)
            await one.disconnect()
            assert log == ["finally"]
            assert [event.json() for event in await two.take(5)] == [*range(5)]


def assert_is_lookup_error(error: BaseException, peer: Peer, message: str) -> None:
    assert type(error) is peer.raises
    if isinstance(error, ExceptionGroup):
        (error,) = error.exceptions
    assert repr(error) == f"LookupError({message!r})"


class TestErrors:
    async def test_before_the_first_event_are_raised(self, peer: Peer) -> None:
        app, _ = peer.app()
        async with EventClient(app) as client, client.stream("GET", "/early") as events:
            assert events.response.status_code == peer.status_of_early_failure
            with pytest.raises(peer.raises) as caught:
                await events.next()
        assert_is_lookup_error(caught.value, peer, "early")

    async def test_after_events_are_raised(self, peer: Peer) -> None:
        app, _ = peer.app()
        async with EventClient(app) as client, client.stream("GET", "/late") as events:
            assert (await events.next()).json() == 1
            with pytest.raises(peer.raises) as caught:
                await events.next()
        assert_is_lookup_error(caught.value, peer, "late")


class TestRequest:
    async def test_carries_its_json_and_its_headers(self, peer: Peer) -> None:
        app, _ = peer.app()
        async with (
            EventClient(app, headers={"x-name": "value"}) as client,
            client.stream("POST", "/echo", json={"a": [1]}) as events,
        ):
            assert [event.json() async for event in events] == [["POST", "value"], {"a": [1]}]

    async def test_reconnects_with_the_last_id(self, peer: Peer) -> None:
        app, _ = peer.app()
        async with EventClient(app) as client, client.stream("GET", "/resume") as events:
            for number in (1, 2, 3):
                event = await events.next()
                assert (event.json(), event.id) == (number, str(number))
                await events.reconnect()
            assert [event.id for event in events.received] == ["1", "2", "3"]


async def first_of(chunks: AsyncIterator[bytes], count: int) -> list[str]:
    """Return the data of the first events in what is read."""
    decoder, found = EventStreamDecoder(), list[str]()
    async for chunk in chunks:
        found += [event.data for event in decoder.feed(chunk) if isinstance(event, MessageEvent)]
        if len(found) >= count:
            break
    return found


async def with_httpx(app: ASGIApp, library: Any = httpx) -> list[str]:
    transport = StreamingTransport(app)
    async with (
        library.AsyncClient(transport=transport, timeout=30) as client,
        client.stream("GET", "http://test/endless") as response,
    ):
        return await first_of(response.aiter_bytes(), 3)


async def with_its_successor(app: ASGIApp) -> list[str]:
    return await with_httpx(app, pytest.importorskip("httpx2"))


async def with_httpx_sse(app: ASGIApp) -> list[str]:
    library = pytest.importorskip("httpx_sse")
    transport = StreamingTransport(app)
    async with (
        httpx.AsyncClient(transport=transport, timeout=30) as client,
        library.aconnect_sse(client, "GET", "http://test/endless") as source,
    ):
        events = source.aiter_sse()
        return [(await anext(events)).data for _ in range(3)]


async def with_our_client(app: ASGIApp) -> list[str]:
    async with EventClient(app) as client, client.stream("GET", "/endless") as events:
        return [event.raw_data or "" for event in await events.take(3)]


@pytest.mark.parametrize("read", [with_httpx, with_its_successor, with_httpx_sse, with_our_client])
async def test_each_client_reads_it_and_disconnects(
    peer: Peer, read: Callable[[ASGIApp], Awaitable[list[str]]]
) -> None:
    app, log = peer.app()
    assert await read(app) == ["0", "1", "2"]
    assert log == ["finally"]


@pytest.fixture(params=ON_PORTALS)
def time(request: pytest.FixtureRequest) -> VirtualTime:
    return VirtualTime(request.param)


def test_the_synchronous_client_reads_it_and_disconnects(peer: Peer, time: VirtualTime) -> None:
    app, log = peer.app()
    with SyncEventClient(app, time=time) as client:
        with client.stream("GET", "/endless") as events:
            assert [event.json() for event in events.take(3)] == [0, 1, 2]
            assert time.elapsed == 2
        assert log == ["finally"]
