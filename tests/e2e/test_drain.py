"""A server that is told to stop while streams are open stops by itself, and no client is cut off.

Each client reads the farewell and the end of its body, each generator ends with its cleanup done,
and the process ends soon, with the exit code that it has when there are no streams.
"""

import os
import signal
from contextlib import suppress
from itertools import count, cycle, islice
from pathlib import Path

import pytest

from sse_middleware.wire import MessageEvent
from sse_middleware.wire.decoding import Decoded, ReconnectionTime

from .draining import DEFAULTS, OTHERS, Served, Stream, Way, program, served, streams, uvicorn

pytestmark = pytest.mark.e2e

MANY = 200
SOME = 10

GRACE = 1.0
"""The default of `drain_grace`, in seconds."""

STOPPING = 15.0
"""Seconds that a server has to stop, on top of that, on a machine that others use too. What waits
for a stream takes longer: uvicorn for ever, hypercorn and gunicorn for half a minute and more."""

FIRST = MessageEvent('"open"')
RETRY_AFTER = range(2000, 4001)
"""The milliseconds after which clients are asked to come back, by default."""

WAYS = [
    pytest.param(way, number, streams, id=f"{way.name}-{number.name}")
    for ways, streams in ((DEFAULTS, MANY), (OTHERS, SOME))
    for way in ways
    for number in way.signals
]


def skip_without(way: Way) -> None:
    if missing := way.missing():
        pytest.skip(f"not installed: {', '.join(missing)}")


def targets(way: Way) -> list[str]:
    prefixes = ["/one", "/other"] if "two-applications" in way.name else [""]
    return [f"{prefix}/{kind}" for kind in ("stream", "hub") for prefix in prefixes]


def exit_code_without_streams(way: Way, number: signal.Signals, output: Path) -> int:
    """Return it. A worker of granian's may miss a signal just after its start: it is run again."""
    for attempt in range(2 if "granian" in way.needs else 1):
        with served(way, output.with_name(f"{output.name}-{attempt}")) as server:
            server.signal(number)
            with suppress(AssertionError):
                return server.exit_code(STOPPING)
    raise AssertionError(f"runs after {number.name}:\n{server.output.read_text()}")


def is_first(event: Decoded) -> bool:
    """Whether it is the first event of a stream. That of a hub has an id."""
    return isinstance(event, MessageEvent) and event.data == FIRST.data


def assert_all_got_a_farewell(open_streams: list[Stream]) -> None:
    assert all(is_first(stream.first) for stream in open_streams)
    times = [retry_of(stream.rest()) for stream in open_streams]
    assert len(set(times)) > len(times) / 2  # they come back one by one


def retry_of(rest: list[Decoded]) -> int:
    """Return what the farewell says, in milliseconds."""
    (farewell,) = rest
    assert isinstance(farewell, ReconnectionTime)
    assert farewell.milliseconds in RETRY_AFTER
    return farewell.milliseconds


def assert_stops(server: Served) -> int:
    """Return the exit code."""
    code = server.exit_code(STOPPING + GRACE)
    assert server.told("closed") == server.told("opened")
    return code


@pytest.mark.parametrize(("way", "number", "many"), WAYS)
def test_all_streams_get_a_farewell_and_the_server_stops(
    way: Way, number: signal.Signals, many: int, tmp_path: Path
) -> None:
    skip_without(way)
    code = exit_code_without_streams(way, number, tmp_path / "without")

    with (
        served(way, tmp_path / "with") as server,
        streams(server.port, *islice(cycle(targets(way)), many)) as open_streams,
    ):
        assert server.told("opened") == many
        server.signal(number)

        assert assert_stops(server) == code
        assert_all_got_a_farewell(open_streams)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_second_server_of_a_process_drains_too(number: signal.Signals, tmp_path: Path) -> None:
    way = program("one-after-the-other")
    skip_without(way)
    with served(way, tmp_path / "output") as server:
        for port in (server.port, server.other):
            server.get_ready(other=port == server.other)
            with streams(port, *["/stream"] * SOME) as open_streams:
                server.signal(number)
                assert_all_got_a_farewell(open_streams)
        assert assert_stops(server) == 0
        assert server.told("stopped") == 2


def test_event_loops_in_two_threads_drain_separately(tmp_path: Path) -> None:
    way = program("in-two-threads", workers=2)
    skip_without(way)
    with served(way, tmp_path / "output") as server:
        server.get_ready(other=True)
        with streams(server.port, *["/stream"] * SOME) as here:
            with streams(server.other, *["/stream"] * SOME) as there:
                server.say()
                assert_all_got_a_farewell(there)
            server.wait_until_told("stopped")
            assert server.told("closed") == SOME
            assert all(stream.is_silent(0) for stream in here)

            server.signal(signal.SIGTERM)

            assert_stops(server)
            assert_all_got_a_farewell(here)


def test_a_reload_sends_farewells_and_serves_again(tmp_path: Path) -> None:
    source = tmp_path / "source.py"
    source.touch()
    way = uvicorn("uvicorn-reload", "--reload", "--reload-dir", str(tmp_path))
    skip_without(way)
    with served(way, tmp_path / "output") as server:
        with streams(server.port, *["/stream"] * SOME) as open_streams:
            touch_until_heard(source, open_streams[0])
            assert_all_got_a_farewell(open_streams)
        server.wait_until_told("started", 2)

        with streams(server.port, *["/stream"] * SOME) as open_streams:
            server.signal(signal.SIGTERM)
            assert_stops(server)
            assert_all_got_a_farewell(open_streams)


def touch_until_heard(source: Path, stream: Stream) -> None:
    """Change a file, again if the server did not look yet when it was changed before."""
    begin = source.stat().st_mtime
    for attempt in count(1):
        os.utime(source, (begin + attempt, begin + attempt))
        if not stream.is_silent(5):
            return
        assert attempt < 5, "the server doesn't reload"


@pytest.mark.parametrize(("first", "second"), [("SIGINT", "SIGINT"), ("SIGTERM", "SIGINT")])
def test_a_second_signal_is_the_servers(first: str, second: str, tmp_path: Path) -> None:
    """uvicorn stops waiting for a stream that doesn't end."""
    way = uvicorn("uvicorn")
    skip_without(way)
    with (
        served(way, tmp_path / "output") as server,
        streams(server.port, "/late", "/watching") as (late, watching),
    ):
        server.signal(signal.Signals[first])
        assert watching.rest() == [MessageEvent('"bye"')]
        server.wait_until_told("told")
        assert late.is_silent(0)
        assert server.process.poll() is None

        server.signal(signal.Signals[second])

        server.exit_code(STOPPING + GRACE)
