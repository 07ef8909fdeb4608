"""A server that stops in other ways than by a signal sends all its streams a farewell, too."""

import signal
from pathlib import Path

import pytest

from .client import Http1Client
from .draining import (
    RELOADED_BY_SIGHUP,
    STOPPED_BY_REQUESTS,
    Stream,
    Way,
    program,
    served,
    streams,
    uvicorn,
)
from .test_drain import FIRST, GRACE, SOME, STOPPING, assert_all_got_a_farewell, skip_without

pytestmark = pytest.mark.e2e

SERVING_ENDS = [
    "should-exit",
    "should-exit-in-a-thread",
    "serve-cancelled",
    "hypercorn-cancelled",
    "serve-left-alone",  # `asyncio.run` cancels all tasks at once, those of the streams too
]
"""Programs that end their server when a line is read."""


def each(ways: list[Way]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("way", ways, ids=lambda way: way.name)


def ask(port: int, target: str = "/plain") -> int:
    """Return the status of a response."""
    with Http1Client(port) as client:
        status = client.get(target).status
        client.body()
    return status


def assert_is_open(open_streams: list[Stream]) -> None:
    assert [stream.first for stream in open_streams] == [FIRST] * len(open_streams)
    assert all(stream.is_silent(0) for stream in open_streams)


@pytest.mark.parametrize("end", ["SIGTERM", "requests"])
def test_a_stream_of_sse_starlettes_own(end: str, tmp_path: Path) -> None:
    """It ends by itself when uvicorn is told to stop, in good order."""
    limit = ("--limit-max-requests", "2") if end == "requests" else ()
    app = "tests.e2e.drain_foreign_app:app"
    way = uvicorn("uvicorn", *limit, app=app, needs=("sse_starlette",))
    skip_without(way)
    with (
        served(way, tmp_path / "output") as server,
        streams(server.port, *["/foreign"] * SOME) as open_streams,
    ):
        assert_is_open(open_streams)
        if end == "requests":
            ask(server.port)
        else:
            server.signal(signal.SIGTERM)
        server.exit_code(STOPPING + GRACE)
        assert_all_got_a_farewell(open_streams)


@each(STOPPED_BY_REQUESTS)
def test_a_server_with_a_limit_of_requests(way: Way, tmp_path: Path) -> None:
    skip_without(way)
    with served(way, tmp_path / "output") as server:
        with streams(server.port, *["/stream"] * SOME) as open_streams:
            assert_is_open(open_streams)
            ask(server.port)
            assert_all_got_a_farewell(open_streams)
        server.wait_until_told("closed", SOME)
        if way.name.startswith("uvicorn"):
            server.exit_code(STOPPING + GRACE)
        else:
            server.wait_until_told("started", 2)  # its master starts another worker


@pytest.mark.parametrize("name", SERVING_ENDS)
def test_a_program_that_ends_its_server(name: str, tmp_path: Path) -> None:
    way = program(name)
    skip_without(way)
    with (
        served(way, tmp_path / "output") as server,
        streams(server.port, *["/stream"] * SOME) as open_streams,
    ):
        assert_is_open(open_streams)
        server.say()
        assert server.exit_code(STOPPING + GRACE) == 0
        assert server.told("closed") == SOME
        assert_all_got_a_farewell(open_streams)


@each(RELOADED_BY_SIGHUP)
def test_a_reload_by_sighup(way: Way, tmp_path: Path) -> None:
    skip_without(way)
    with served(way, tmp_path / "output") as server:
        with streams(server.port, *["/stream"] * SOME) as open_streams:
            assert_is_open(open_streams)
            server.signal(signal.SIGHUP)
            assert_all_got_a_farewell(open_streams)
        server.wait_until_told("closed", SOME)
        server.wait_until_told("started", 2 * way.workers)
        assert ask(server.port) == 200


class TestTwoServersInOneLoop:
    @pytest.mark.parametrize(
        "name", ["two-servers", "two-servers-without-lifespan", "two-applications"]
    )
    def test_each_ends_its_own_streams(self, name: str, tmp_path: Path) -> None:
        way = program(name, workers=1 if name.endswith("lifespan") else 2)
        skip_without(way)
        with served(way, tmp_path / "output") as server:
            server.get_ready(other=True)
            with (
                streams(server.port, *["/stream"] * SOME) as ended,
                streams(server.other, *["/stream"] * SOME) as others,
            ):
                server.say()
                assert_all_got_a_farewell(ended)
                assert_is_open(others)
                with streams(server.other, "/stream") as new:
                    assert_is_open(new)
                    server.say()
                    assert server.exit_code(STOPPING + GRACE) == 0
                    assert_all_got_a_farewell([*others, *new])
            assert server.told("closed") == 2 * SOME + 1

    @pytest.mark.parametrize(
        ("name", "by_signal"),
        [("one-after-another-in-one-loop", False), ("one-after-another-by-signals", True)],
    )
    def test_the_second_one_may_begin_when_the_first_has_stopped(
        self, name: str, by_signal: bool, tmp_path: Path
    ) -> None:
        way = program(name)
        skip_without(way)
        with served(way, tmp_path / "output") as server:
            for port in (server.port, server.other):
                server.get_ready(other=port == server.other)
                with streams(port, *["/stream"] * SOME) as open_streams:
                    assert_is_open(open_streams)
                    if by_signal:
                        server.signal(signal.SIGTERM)
                    else:
                        server.say()
                    assert_all_got_a_farewell(open_streams)
            assert server.exit_code(STOPPING + GRACE) == 0
            assert by_signal or server.told("stopped") == 2

    def test_of_hypercorn_end_all_streams_and_the_other_goes_on(self, tmp_path: Path) -> None:
        way = program("two-hypercorns", workers=2)
        skip_without(way)
        with served(way, tmp_path / "output") as server:
            server.get_ready(other=True)
            with (
                streams(server.port, *["/stream"] * SOME) as own,
                streams(server.other, *["/stream"] * SOME) as others,
            ):
                server.say()
                assert_all_got_a_farewell([*own, *others])
                server.wait_until_told("closed", 2 * SOME)
            with streams(server.other, *["/stream"] * SOME) as new:
                assert_is_open(new)
                server.say()
                assert_all_got_a_farewell(new)
            assert server.exit_code(STOPPING + GRACE) == 0
