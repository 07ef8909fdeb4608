"""While its server restarts, nginx gives browsers an answer that they survive."""

import signal
from pathlib import Path

import pytest

from sse_middleware.wire.decoding import ReconnectionTime

from .client import Client, Http1Client, Http2Client
from .draining import served, streams, uvicorn
from .nginx import NGINX, proxied
from .test_drain import SOME, assert_all_got_a_farewell

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
]


def assert_is_told_to_come_back(client: Client) -> None:
    """An `EventSource` goes on after a complete body with this status and this type."""
    head = client.get("/stream")
    assert head.status == 200
    assert head.headers["content-type"] == "text/event-stream"
    assert head.headers["cache-control"] == "no-cache, no-transform"
    assert list(client.events()) == [ReconnectionTime(2000)]


def test_a_client_that_comes_back_too_early_is_told_to_come_back(tmp_path: Path) -> None:
    with (
        served(uvicorn("uvicorn"), tmp_path / "output") as server,
        proxied(server.port, tmp_path / "nginx") as proxy,
    ):
        with streams(proxy.documented, *["/stream"] * SOME) as open_streams:
            server.signal(signal.SIGTERM)
            assert_all_got_a_farewell(open_streams)
        server.exit_code()

        with Http1Client(proxy.documented) as client:
            assert_is_told_to_come_back(client)
        with Http2Client(proxy.http2) as client:
            assert_is_told_to_come_back(client)
        with Http1Client(proxy.defaults) as client:
            assert client.get("/stream").status == 502
