"""A client that never reads does not keep a server running that has the documented bound.

`send_timeout` ends its stream, but what the server has taken for it stays in the server, and in the
kernel, as long as the client's kernel answers. Most servers wait for that when they are told to
stop.
"""

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from .client import Http1Client
from .draining import DEFAULTS, OTHERS, Way, served

pytestmark = pytest.mark.e2e

BOUND = 1
"""The seconds that each is told to wait for its clients."""

STOPPING = 20.0
"""Seconds that it has to stop, on top of that, on a machine that others use too."""


def bounded(name: str, *arguments: str) -> Way:
    (way,) = (way for way in (*DEFAULTS, *OTHERS) if way.name == name)
    return replace(way, command=(*way.command, *arguments, str(BOUND)))


WAYS = [
    bounded("uvicorn", "--timeout-graceful-shutdown"),
    bounded("uvicorn-h11-asyncio", "--timeout-graceful-shutdown"),
    bounded("uvicorn-w2", "--timeout-graceful-shutdown"),
    bounded("gunicorn-uvicorn_worker-w2", "--graceful-timeout"),
    bounded("granian-auto-w1", "--workers-kill-timeout"),
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_it_stops_within_its_bound(way: Way, tmp_path: Path) -> None:
    if missing := way.missing():
        pytest.skip(f"not installed: {', '.join(missing)}")
    with (
        served(way, tmp_path / "output") as server,
        Http1Client(server.port, small_buffer=True) as client,
    ):
        client.get("/flow")
        server.wait_until_told("closed")  # by its send_timeout

        server.signal(signal.SIGTERM)

        server.exit_code(BOUND + STOPPING)
