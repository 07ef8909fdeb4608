"""Polled endpoints on a real server."""

import signal
from pathlib import Path

import pytest

from sse_middleware.wire.decoding import ReconnectionTime
from tests.e2e.client import HOST, Http1Client
from tests.e2e.draining import Served, Way, served

pytestmark = pytest.mark.e2e

APP = "tests.legacy.polling.polled_app:app"
COMMAND = ("-m", "uvicorn", APP, "--host", HOST, "--port", "{port}")
EVENTS = {"accept": "text/event-stream"}
UVICORN = Way("uvicorn", COMMAND, ("uvicorn",), workers=0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_first_call_that_hangs(number: signal.Signals, tmp_path: Path) -> None:
    with served(UVICORN, tmp_path / "output") as server, Http1Client(server.port) as client:
        assert client.get("/hanging", EVENTS).status == 200
        server.wait_until_told("called")
        server.signal(number)
        (farewell,) = client.events()
        assert isinstance(farewell, ReconnectionTime)
        assert server.exit_code() in (0, -number)
        assert server.told("cancelled") == 1


def test_clients_that_leave_while_the_first_call_hangs_give_their_places_back(
    tmp_path: Path,
) -> None:
    with served(UVICORN, tmp_path / "output") as server:
        for times in range(1, 6):
            with Http1Client(server.port) as client:
                client.begin("GET", "/hanging", headers=EVENTS)
                server.wait_until_told("called", times)
            server.wait_until_told("cancelled", times)
        assert status_of(server, "/forbidden") == 403


def test_a_refusal_of_the_first_call_is_the_answer(tmp_path: Path) -> None:
    with served(UVICORN, tmp_path / "output") as server:
        assert status_of(server, "/forbidden") == 403


def status_of(server: Served, target: str) -> int:
    with Http1Client(server.port) as client:
        return client.get(target, EVENTS).status
