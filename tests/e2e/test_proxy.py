"""nginx between the client and the server: events pass one by one, and both learn of an end.

The server is uvicorn with h11, since that is the hard case: to nginx, which by default speaks
HTTP/1.0, it sends a body without chunks, that ends with its connection.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sse_middleware.wire import Comment, EventStreamDecoder, MessageEvent

from .app import STEPS
from .client import BrokenBodyError, Client, Http1Client, Http2Client
from .codings import decoder_of, each_coding
from .draining import served, uvicorn
from .nginx import NGINX, Proxy, proxied
from .servers import KINDS, WHOLE_LIFE, Server, running
from .test_drain import FIRST, retry_of

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
]

Reach = Callable[[Proxy], Client]

REACHES: dict[str, Reach] = {
    "documented": lambda proxy: Http1Client(proxy.documented),
    "http2": lambda proxy: Http2Client(proxy.http2),
    "defaults": lambda proxy: Http1Client(proxy.defaults),
}
"""The ways to reach the server through nginx."""

FIRST_OF_ALL = MessageEvent('"first"')

LONGER = 10
"""How many keep-alives take twice as long as nginx lets a server be silent."""

ATTEMPTS = 20
"""How many streams a test may need on a machine that stops for longer than that now and then."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    (kind,) = (kind for kind in KINDS if kind.name == "uvicorn-h11-asyncio")
    with running(kind, tmp_path_factory.mktemp("behind") / "output") as server:
        yield server


@pytest.fixture(scope="module")
def proxy(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with proxied(server.port, tmp_path_factory.mktemp("nginx") / "nginx") as proxy:
        yield proxy


@pytest.fixture(params=REACHES)
def client(proxy: Proxy, request: pytest.FixtureRequest) -> Iterator[Client]:
    with REACHES[request.param](proxy) as client:
        yield client


def test_each_event_passes_before_the_next_one_is_made(
    server: Server, client: Client, name: str
) -> None:
    client.get(f"/steps/identity?name={name}")

    for number, event in enumerate(client.events(), 1):
        assert event == MessageEvent(f'{{"number":{number},"name":"widget {number}"}}')
        server.read(name)
    assert number == STEPS


def test_a_path_that_nginx_takes_away(proxy: Proxy, name: str) -> None:
    with Http1Client(proxy.below) as client:
        client.get(f"/shop/steps/identity?name={name}")
        assert next(client.events()) == MessageEvent('{"number":1,"name":"widget 1"}')


@each_coding
def test_each_compressed_event_passes_before_the_next_one_is_made(
    server: Server, client: Client, name: str, coding: str
) -> None:
    head = client.get(f"/steps/{coding}?name={name}", {"accept-encoding": coding})
    decoder, decode, count = EventStreamDecoder(), decoder_of(coding), 0

    for chunk in iter(client.read, b""):
        for _ in decoder.feed(decode(chunk)):
            server.read(name)
            count += 1
    assert head.headers["content-encoding"] == coding
    assert count == STEPS


def names(name: str) -> Iterator[str]:
    """Yield a name for each attempt."""
    yield from (f"{name}-{number}" for number in range(ATTEMPTS))
    raise AssertionError("no stream lives for as long as it should")


def test_silence_within_the_timeout_ends_nothing(proxy: Proxy, server: Server, name: str) -> None:
    for one in names(name):
        with Http1Client(proxy.short) as client, suppress(BrokenBodyError):
            client.get(f"/silent?name={one}")
            events = client.events()
            if next(events) == FIRST_OF_ALL:  # or nginx has answered, since the server was late
                assert [next(events) for _ in range(LONGER)] == [Comment("ping")] * LONGER
                break
    assert server.journal(one, 3) == WHOLE_LIFE


def test_silence_beyond_the_timeout_ends_both_connections(
    proxy: Proxy, server: Server, name: str
) -> None:
    for one in names(name):
        with Http1Client(proxy.short) as client:
            client.get(f"/idle?name={one}")
            events = client.events()
            if next(events) == FIRST_OF_ALL:  # or nginx has answered, since the server was late
                with pytest.raises(BrokenBodyError):
                    next(events)
                break
    assert server.journal(one, 3) == WHOLE_LIFE


@pytest.mark.parametrize("target", ["/idle", "/flow-with-pauses"])
def test_a_client_that_leaves_is_noticed(
    server: Server, client: Client, name: str, target: str
) -> None:
    client.get(f"{target}?name={name}")
    next(client.events())

    if isinstance(client, Http2Client):
        client.reset_stream()
    else:
        client.rst()

    assert server.journal(name, 3) == WHOLE_LIFE


def test_a_client_that_never_reads_is_given_up_by_nginx(
    proxy: Proxy, server: Server, name: str
) -> None:
    with Http1Client(proxy.short, small_buffer=True) as client:
        client.get(f"/flow?name={name}")
        assert server.journal(name, 3) == WHOLE_LIFE
    assert server.journal(f"{name}-reasons", 1) == ["client_disconnected"]


def test_a_stream_that_fails_is_broken_for_the_client_too(
    server: Server, proxy: Proxy, name: str
) -> None:
    for reach in ("documented", "http2"):
        with REACHES[reach](proxy) as client:
            client.get(f"/break-off?name={name}&events=3")
            events = client.events()
            assert len([next(events) for _ in range(3)]) == 3
            with pytest.raises(BrokenBodyError):
                next(events)


def test_a_stream_that_fails_looks_complete_over_http_1_0(proxy: Proxy, name: str) -> None:
    """So the documentation sets nginx to HTTP/1.1."""
    with Http1Client(proxy.defaults) as client:
        client.get(f"/break-off?name={name}&events=3")
        assert len(list(client.events())) == 3


def test_a_drain_completes_the_body_for_every_client(tmp_path: Path) -> None:
    with (
        served(uvicorn("uvicorn"), tmp_path / "output") as server,
        proxied(server.port, tmp_path / "nginx") as proxy,
        REACHES["documented"](proxy) as one,
        REACHES["http2"](proxy) as two,
        REACHES["defaults"](proxy) as three,
    ):
        clients = [one, two, three]
        for client in clients:
            client.get("/stream")
        streams = [client.events() for client in clients]
        assert [next(stream) for stream in streams] == [FIRST] * 3

        server.signal(signal.SIGTERM)

        for stream in streams:
            retry_of(list(stream))
        server.exit_code()
        assert server.told("closed") == 3
