"""Threads of synchronous generators that go on after their clients have left.

Nothing can interrupt such a thread. It keeps its place among the streams until it returns, and it
keeps no server from stopping. A thread that others have started keeps its stream's place, too.
"""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from sse_middleware.wire import MessageEvent
from tests.patience import PATIENCE

from .client import Http1Client
from .draining import DEFAULTS, OTHERS, Served, Way, served, streams
from .test_drain import GRACE, STOPPING, retry_of, skip_without
from .thread_app import CLEANUP, MAX_STREAMS

pytestmark = pytest.mark.e2e

VISITS = 150

FIRST = MessageEvent('"open"')


def of_thread_app(way: Way) -> Way:
    module = f"{__package__}.thread_app:app"
    return replace(
        way, command=tuple(part.replace("drain_app:app", module) for part in way.command)
    )


ONE_PROCESS = [of_thread_app(way) for way in DEFAULTS]
"""The servers as they are when nothing is set. All requests reach the same process."""

WAYS = ONE_PROCESS + [
    of_thread_app(way)
    for way in OTHERS
    if way.name.startswith(("gunicorn", "uvicorn-uvloop", "hypercorn-trio-w1", "granian-asyncio"))
]


@pytest.mark.parametrize("target", ["/waiting", "/refused"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_the_server_stops(way: Way, target: str, tmp_path: Path) -> None:
    skip_without(way)
    with (
        served(way, tmp_path / "output") as server,
        streams(server.port, *[target] * MAX_STREAMS) as open_streams,
    ):
        assert [stream.first for stream in open_streams] == [FIRST] * MAX_STREAMS
        if target == "/waiting":
            server.wait_until_told("blocks", MAX_STREAMS)
        server.signal(way.signals[0])
        server.exit_code(STOPPING + GRACE + CLEANUP)
        for stream in open_streams:
            retry_of(stream.rest())


@pytest.mark.parametrize("way", ONE_PROCESS, ids=lambda way: way.name)
def test_a_stream_keeps_its_place_until_its_thread_returns(way: Way, tmp_path: Path) -> None:
    skip_without(way)
    with served(way, tmp_path / "output") as server:
        for number in range(MAX_STREAMS):
            assert visit(server, "/held", blocking=number + 1) == 200
        assert {visit(server, "/held") for _ in range(VISITS)} == {503}
        assert ask(server, "/threads") == MAX_STREAMS
        server.wait_until_told("ended", MAX_STREAMS)
        assert visit(server, "/held") == 503

        with Http1Client(server.port) as client:
            client.get("/let-go")
        server.wait_until_told("closed", MAX_STREAMS)
        assert ask(server, "/joined") == 0
        assert visit(server, "/held") == 200


@pytest.mark.parametrize("target", ["/foreign", "/pooled"])
@pytest.mark.parametrize("way", ONE_PROCESS, ids=lambda way: way.name)
def test_a_stream_keeps_its_place_until_a_thread_of_others_returns(
    way: Way, target: str, tmp_path: Path
) -> None:
    skip_without(way)
    with served(way, tmp_path / "output") as server:
        for number in range(MAX_STREAMS):
            assert visit(server, target, blocking=number + 1) == 200
        if "trio" not in way.name:  # there it is open until then
            server.wait_until_told("ended", MAX_STREAMS)
        assert {visit(server, target) for _ in range(VISITS)} == {503}

        with Http1Client(server.port) as client:
            client.get("/let-go")
        server.wait_until_told("closed", MAX_STREAMS)
        until = time.monotonic() + PATIENCE
        while visit(server, target) == 503:  # nothing tells when the thread is back in its pool
            assert time.monotonic() < until


@pytest.mark.parametrize("way", ONE_PROCESS, ids=lambda way: way.name)
def test_a_generator_whose_items_are_all_refused_ends_with_its_stream(
    way: Way, tmp_path: Path
) -> None:
    skip_without(way)
    with served(way, tmp_path / "output") as server:
        for _ in range(MAX_STREAMS):
            visit(server, "/refused")
        server.wait_until_told("closed", MAX_STREAMS)
        assert ask(server, "/joined") == 0
        with Http1Client(server.port) as client:
            client.get("/refused-for-a-moment")
            client.body()  # it is complete: the stream's time is over
        server.wait_until_told("closed", MAX_STREAMS + 1)


def visit(server: Served, target: str, *, blocking: int = 0) -> int:
    """Open a stream, read its first event, and leave. Returns the status.

    Args:
        server: to visit.
        target: of the request.
        blocking: how many generators block before the client leaves.
    """
    with Http1Client(server.port) as client:
        head = client.get(target)
        if head.status == 200:
            assert next(client.events()) == FIRST
            server.wait_until_told("blocks", blocking)
        return head.status


def ask(server: Served, target: str) -> object:
    with Http1Client(server.port) as client:
        client.get(target)
        return client.json()
