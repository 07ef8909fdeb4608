"""The table of faults, on real servers: what its rows promise of networks and of signals.

The rest of the table is shown in memory, in `tests.test_faults`. See docs/faults.md.
"""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from sse_middleware.wire import MessageEvent
from sse_middleware.wire.decoding import Decoded, ReconnectionTime

from .client import Client, Http1Client
from .draining import DEFAULTS, OTHERS, Served, Way, served, streams
from .servers import KINDS, WHOLE_LIFE, Server

pytestmark = pytest.mark.e2e

CHOSEN = (
    *("uvicorn-httptools-uvloop", "hypercorn-asyncio-h1", "hypercorn-trio-h1"),
    *("granian", "daphne"),
)

SOME = [kind for kind in KINDS if kind.name in CHOSEN]

on_some_servers = pytest.mark.parametrize(
    "server", SOME, indirect=True, ids=lambda kind: kind.name, scope="session"
)

STORM = 150
"""Connections of a storm, and how many of them there are at once."""
AT_ONCE = 15


def reasons(server: Server, name: str) -> list[str]:
    """Return why the streams of a name have ended, as an observer was told."""
    return server.journal(f"{name}-reasons", 1)


@pytest.fixture
def tidy(server: Server, name: str) -> Iterator[None]:
    """Find nothing of the test's streams left behind."""
    yield
    assert server.settled(name)["open"] == 0


@on_some_servers
@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize("leave", ["fin", "rst", "half_close"])
class TestTheClientLeaves:
    def leaves(self, client: Client, how: str) -> None:
        if how == "rst":
            client.rst()
        elif how == "half_close":
            client.fin()  # and goes on reading
        else:
            client._socket.close()  # nothing is unread, so it is not an RST

    def test_while_its_stream_is_idle(
        self, server: Server, client: Client, name: str, leave: str
    ) -> None:
        client.get(f"/idle?name={name}")
        assert next(client.events()) == MessageEvent('"first"')

        self.leaves(client, leave)

        assert server.journal(name, 3) == WHOLE_LIFE
        assert reasons(server, name) == ["client_disconnected"]

    def test_before_the_first_event(
        self, server: Server, client: Client, name: str, leave: str
    ) -> None:
        client.begin("GET", f"/opens-never?name={name}")
        assert server.journal(name, 1) == ["started"]

        self.leaves(client, leave)

        assert server.journal(name, 3) == WHOLE_LIFE
        assert reasons(server, name) == ["client_disconnected"]


@on_some_servers
@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize("client", [{"small_buffer": True}], ids=["small-buffer"], indirect=True)
@pytest.mark.parametrize("flow", ["flow-stalled", "flow-stalled-in-thread"])
def test_a_client_that_stops_reading_is_given_up(
    server: Server, client: Client, name: str, flow: str
) -> None:
    if not server.kind.backpressure:
        pytest.skip(f"{server.kind.name} buffers without a bound: no stream waits for its client")
    client.get(f"/{flow}?name={name}")

    count = 3 if server.kind.cancels_sends else 2  # else the request ends when the client reads on
    assert server.journal(name, count) == WHOLE_LIFE[:count]
    client.drain()

    assert server.journal(name, 3) == WHOLE_LIFE
    assert reasons(server, name) == ["send_timeout"]


@on_some_servers
@pytest.mark.usefixtures("tidy")
def test_a_storm_of_reconnects_leaves_nothing_behind(server: Server, name: str) -> None:
    ways: list[Callable[[Client], object]] = [
        lambda client: client.rst(),
        lambda client: client.fin(),
        lambda client: next(client.events()),
        lambda client: client._socket.close(),
    ]

    def come_and_go(first: int) -> None:
        for number in range(first, STORM, AT_ONCE):
            with server.connect() as client:
                client.begin("GET", f"/idle?name={name}")
                ways[number % len(ways)](client)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(come_and_go, range(AT_ONCE)))

    with server.connect() as last:  # it is served as if nothing had happened
        last.get(f"/count?name={name}last&events=3")
        assert len(list(last.events())) == 3
    left = server.settled(name)
    assert left["open"] == 0
    assert left["journal"].count("started") == left["journal"].count("closed")
    assert set(left["reasons"]) <= {"client_disconnected", "cancelled"}
    assert len(left["reasons"]) >= left["journal"].count("started")


# --- signals ----------------------------------------------------------------------------------

WAYS = {way.name: way for way in (*DEFAULTS, *OTHERS)}


def skip_without(way: Way) -> None:
    if missing := way.missing():
        pytest.skip(f"not installed: {', '.join(missing)}")


def assert_retry(rest: list[Decoded]) -> None:
    (farewell,) = rest
    assert isinstance(farewell, ReconnectionTime)
    assert 2000 <= farewell.milliseconds <= 4000


def assert_stopped(server: Served, streams: int) -> None:
    server.exit_code()
    assert server.told("opened") == server.told("closed") == streams


@pytest.mark.parametrize("name", ["uvicorn", "hypercorn-asyncio-w1", "granian-auto-w1", "daphne"])
def test_a_signal_before_the_first_event_is_answered_by_a_farewell(
    name: str, tmp_path: Path
) -> None:
    way = WAYS[name]
    skip_without(way)
    with served(way, tmp_path / "output") as server, ExitStack() as stack:
        clients = [stack.enter_context(Http1Client(server.port)) for _ in range(5)]
        for client in clients:
            client.begin("GET", "/silent")
        server.wait_until_told("opened", 5)

        server.signal(signal.SIGTERM)

        for client in clients:
            head = client.head()
            assert head.status == 200
            assert head.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert_retry(list(client.events()))
        assert_stopped(server, 5)


@pytest.mark.parametrize("name", ["uvicorn", "hypercorn-trio-w1"])
def test_a_signal_during_a_drain_changes_nothing_for_the_clients(name: str, tmp_path: Path) -> None:
    way = WAYS[name]
    skip_without(way)
    with (
        served(way, tmp_path / "output") as server,
        streams(server.port, *["/stream"] * 5) as open_streams,
        Http1Client(server.port) as client,
    ):
        client.begin("GET", "/drain")
        server.wait_until_told("draining")

        server.signal(signal.SIGTERM)

        for stream in open_streams:
            assert_retry(stream.rest())
        assert client.head().status == 200
        assert client.body() == b"drained"
        assert_stopped(server, 5)
