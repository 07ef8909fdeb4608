"""Compression: what is offered, and that no event waits for the next one."""

import gc
import sys
import threading
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message

from sse_middleware import (
    ConfigurationError,
    EncodingError,
    EventSourceResponse,
    SSEMiddleware,
)
from sse_middleware.observers import EventsSent
from sse_middleware.settings import StreamSettings
from sse_middleware.stream.compressor import COMPRESSING_THREADS, OFF_THE_LOOP
from sse_middleware.testing import EventClient, StreamingTransport
from sse_middleware.wire.compression import CODECS, offered


def can_decode(name: str) -> bool:
    """Whether httpx can: zstd not before 0.27.1."""
    response = httpx.Response(200, headers={"content-encoding": name})
    return type(response._get_content_decoder()).__name__ != "IdentityDecoder"


each_codec = pytest.mark.parametrize("name", [name for name in CODECS if can_decode(name)])


def decoder_of(name: str) -> Callable[[bytes], bytes]:
    """What a client would decode each piece with, by a library that is not the encoder's own."""
    response = httpx.Response(200, headers={"content-encoding": name})
    decode: Callable[[bytes], bytes] = response._get_content_decoder().decode
    return decode


def events(count: int) -> list[bytes]:
    return [b'data: {"number":%d,"name":"widget"}\n\n' % number for number in range(count)]


@each_codec
def test_an_event_can_be_read_before_the_next_one_exists(name: str) -> None:
    codec, decode = CODECS[name](), decoder_of(name)
    assert [decode(codec.compress(event)) for event in events(50)] == events(50)
    assert decode(codec.finish()) == b""


@each_codec
def test_later_events_are_shorter_than_the_first(name: str) -> None:
    codec = CODECS[name]()
    first, *_, last = [len(codec.compress(event)) for event in events(50)]
    assert last < first < 80


def test_gzip_ends_as_gzip_does() -> None:
    codec = CODECS["gzip"]()
    whole = codec.compress(b"".join(events(3))) + codec.finish()
    decoder = zlib.decompressobj(31)
    assert decoder.decompress(whole) == b"".join(events(3))
    assert decoder.eof


def test_zstd_is_taken_from_the_standard_library_where_it_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A backport takes its place here. Python 3.14 has it."""
    backport = pytest.importorskip("backports.zstd")
    if not can_decode("zstd"):
        pytest.skip("this httpx doesn't decode zstd")
    monkeypatch.setitem(sys.modules, "compression.zstd", backport)
    codec, decode = CODECS["zstd"](), decoder_of("zstd")
    assert [decode(codec.compress(event)) for event in events(50)] == events(50)
    assert decode(codec.finish()) == b""


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        (False, ()),
        (True, ("gzip", "zstd", "br")),
        (["gzip"], ("gzip",)),
        (("gzip", "br"), ("gzip", "br")),
        ([], ()),
    ],
)
def test_a_setting_offers_codecs(setting: Any, names: tuple[str, ...]) -> None:
    assert offered(setting) == StreamSettings(compression=setting).codecs == names


def test_a_missing_package_is_not_offered_and_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("zstandard", "compression.zstd", "brotli"):
        monkeypatch.setitem(sys.modules, name, None)
    assert offered(True) == ("gzip",)
    with pytest.raises(ConfigurationError, match=r"'br' needs a package.*sse_middleware\[br\]"):
        StreamSettings(compression=["gzip", "br"])


# In a stream


async def slow() -> AsyncIterator[dict[str, int]]:
    for number in range(3):
        yield {"number": number}
        await anyio.sleep(20)


def client_of(app: Any, name: str) -> EventClient:
    return EventClient(app, headers={"accept-encoding": name}, run_lifespan=False, timeout=100)


@pytest.mark.anyio
@each_codec
async def test_events_and_keep_alives_come_one_by_one(name: str) -> None:
    app = EventSourceResponse(slow(), compression=[name])
    async with client_of(app, name) as client, client.stream("GET", "/") as stream:
        assert stream.response.headers["content-encoding"] == name
        assert stream.response.headers["vary"] == "Accept-Encoding"
        began = anyio.current_time()
        for number in range(3):
            assert (await stream.next()).json() == {"number": number}
            assert round(anyio.current_time() - began) == 20 * number
        assert [event async for event in stream] == []
        assert stream.comments == ["ping"] * 3


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["identity", "deflate"])
async def test_a_client_that_accepts_no_codec_gets_none(name: str) -> None:
    app = EventSourceResponse(slow(), compression=True)
    async with client_of(app, name) as client, client.stream("GET", "/") as stream:
        assert "content-encoding" not in stream.response.headers
        assert stream.response.headers["vary"] == "Accept-Encoding"
        assert (await stream.next()).json() == {"number": 0}


@pytest.mark.anyio
async def test_it_is_off_by_default() -> None:
    app = EventSourceResponse(slow())
    async with client_of(app, "gzip") as client, client.stream("GET", "/") as stream:
        assert "content-encoding" not in stream.response.headers
        assert "vary" not in stream.response.headers


@pytest.mark.anyio
async def test_a_body_that_the_endpoint_encodes_is_left_alone() -> None:
    headers = {"content-encoding": "identity"}
    app = EventSourceResponse(slow(), headers=headers, compression=True)
    async with client_of(app, "gzip") as client, client.stream("GET", "/") as stream:
        assert stream.response.headers["content-encoding"] == "identity"


@pytest.mark.anyio
async def test_a_large_write_is_compressed_as_well() -> None:
    async def burst() -> AsyncIterator[str]:
        for _ in range(50):
            yield "x" * OFF_THE_LOOP

    app = EventSourceResponse(burst(), compression=["gzip"])
    async with client_of(app, "gzip") as client, client.stream("GET", "/") as stream:
        assert [len(event.json()) async for event in stream] == [OFF_THE_LOOP] * 50


@pytest.mark.anyio
@pytest.mark.parametrize("wrap", [SSEMiddleware, lambda app: app], ids=["with", "without"])
async def test_all_streams_share_the_few_threads_that_compress(wrap: Callable[[Any], Any]) -> None:
    async def burst() -> AsyncIterator[str]:
        yield "x" * OFF_THE_LOOP

    async def respond() -> None:
        app = wrap(EventSourceResponse(burst(), compression=["gzip"]))
        await app(scope, anyio.sleep_forever, send)

    async def send(_message: Message) -> None:
        threads.append(threading.active_count())

    headers = [(b"accept-encoding", b"gzip")]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}
    threads = [threading.active_count()]
    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(respond)
    assert max(threads) <= threads[0] + COMPRESSING_THREADS


@pytest.mark.anyio
async def test_a_stream_that_breaks_is_flushed_and_not_finished() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        await anyio.sleep(1)
        raise LookupError

    app = EventSourceResponse(broken(), compression=["gzip"])
    decoder = zlib.decompressobj(31)
    chunks: list[bytes] = []

    async def read(client: httpx.AsyncClient) -> None:
        async with client.stream("GET", "http://x/") as response:
            async for chunk in response.aiter_raw():
                chunks.append(decoder.decompress(chunk))  # noqa: PERF401 - it fails in between

    headers = {"accept-encoding": "gzip"}
    async with httpx.AsyncClient(transport=StreamingTransport(app), headers=headers) as client:
        with pytest.raises(LookupError):
            await read(client)
    assert b"".join(chunks) == b"data: 1\n\n"
    assert not decoder.eof


@pytest.mark.anyio
async def test_an_adopted_stream_is_compressed_too() -> None:
    async def events_of(_: Request) -> Response:
        return StreamingResponse(iter(events(3)), media_type="text/event-stream")

    app = SSEMiddleware(Starlette(routes=[Route("/", events_of)]), compression=True)
    async with client_of(app, "br") as client, client.stream("GET", "/") as stream:
        assert stream.response.headers["content-encoding"] == "br"
        assert len(await stream.take(3)) == 3


@pytest.mark.anyio
async def test_the_end_of_a_body_counts_as_bytes_and_as_no_event() -> None:
    records: list[Any] = []
    app = SSEMiddleware(EventSourceResponse([]), observers=[records.append], compression=["gzip"])
    async with client_of(app, "gzip") as client:
        await client.http.get("/")
    opened, sent, closed = records
    assert sent == EventsSent(opened.stream, 0, closed.size)
    assert closed.size > 0
    assert closed.events == 0


def live_codecs() -> int:
    """Count the codecs that are alive, each with its context."""
    kinds = tuple(CODECS.values())
    return sum(type(thing) in kinds for thing in gc.get_objects())


@pytest.mark.anyio
@pytest.mark.parametrize("content", [[1, 2, 3], [object()]], ids=["finishes", "fails"])
@pytest.mark.parametrize("codec", CODECS)
async def test_a_stream_frees_its_codec_without_the_garbage_collector(
    codec: str, content: list[object]
) -> None:
    response = EventSourceResponse(content, compression=[codec])
    app = SSEMiddleware(response, drain=False)
    seen = []

    async def receive() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    async def send(_: Message) -> None:
        seen.append(live_codecs())

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [(b"accept-encoding", codec.encode())],
    }
    gc.collect()
    gc.disable()
    try:
        with suppress(EncodingError):
            await app(scope, receive, send)
        assert live_codecs() == 0
    finally:
        gc.enable()
    assert set(seen) == ({1} if content == [1, 2, 3] else set())
