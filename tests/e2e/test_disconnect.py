"""A client that leaves ends its generator, whose cleanup runs to its end.

On asyncio the cleanup of every generator here awaits, and then records that it has run.
"""

from collections.abc import Callable
from functools import partial

import pytest

from sse_middleware.wire import MessageEvent

from .client import Client, Http2Client
from .servers import WHOLE_LIFE, Server

pytestmark = pytest.mark.e2e

Leave = Callable[[], None]

FLOWS = ["flow", "flow-with-pauses", "flow-in-thread"]


@pytest.fixture(params=["fin", "rst", "reset-stream"])
def leave(request: pytest.FixtureRequest, client: Client) -> Leave:
    """Return a way in which the client leaves."""
    match request.param, client:
        case "fin", _:
            return client.fin
        case "rst", _:
            return client.rst
        case _, Http2Client():
            return client.reset_stream
    pytest.skip("HTTP/1.1 has no streams")


@pytest.fixture
def leave_unread(leave: Leave, server: Server, client: Client) -> Leave:
    """Return a way in which the client leaves while there is something that it has not read."""
    if leave == client.fin and server.kind.delivers_after_fin:
        return partial(_fin_and_drain, client)
    return leave


def _fin_and_drain(client: Client) -> None:
    client.fin()
    client.drain()


def test_a_disconnect_closes_an_idle_generator(
    server: Server, client: Client, name: str, leave: Leave
) -> None:
    client.get(f"/idle?name={name}")
    assert next(client.events()) == MessageEvent('"first"')

    leave()

    assert server.journal(name, 3) == WHOLE_LIFE


def test_a_generator_may_go_on_to_its_end(
    server: Server, client: Client, name: str, leave_unread: Leave
) -> None:
    client.get(f"/finishing?name={name}")
    assert next(client.events()) == MessageEvent('"first"')

    leave_unread()

    assert server.journal(f"{name}-work", 1) == ["finished"]
    assert server.journal(name, 3) == ["started", "closed", "ended"]
    assert server.journal(f"{name}-reasons", 1) == ["client_disconnected"]


@pytest.mark.parametrize("target", ["/opens-never", "/opens-early"])
def test_a_disconnect_before_the_first_event_closes_the_generator(
    server: Server, client: Client, name: str, leave: Leave, target: str
) -> None:
    client.begin("GET", f"{target}?name={name}")
    assert server.journal(name, 1) == ["started"]

    leave()

    assert server.journal(name, 3) == WHOLE_LIFE


@pytest.mark.parametrize("flow", FLOWS)
def test_a_disconnect_closes_a_generator_that_never_waits(
    server: Server, client: Client, name: str, leave_unread: Leave, flow: str
) -> None:
    client.get(f"/{flow}?name={name}")
    assert isinstance(next(client.events()), MessageEvent)

    leave_unread()

    assert server.journal(name, 3) == WHOLE_LIFE


@pytest.mark.parametrize("client", [{"small_buffer": True}], ids=["small-buffer"], indirect=True)
@pytest.mark.parametrize("flow", FLOWS)
def test_a_disconnect_closes_a_generator_that_waits_for_its_client(
    server: Server, client: Client, name: str, leave_unread: Leave, flow: str
) -> None:
    if not server.kind.backpressure:
        pytest.skip(f"{server.kind.name} buffers without a bound: no stream waits for its client")
    client.get(f"/{flow}?name={name}")
    assert server.is_stalled(name)

    leave_unread()

    assert server.journal(name, 3) == WHOLE_LIFE


def test_a_disconnect_closes_a_synchronous_generator_once_its_next_returns(
    server: Server, client: Client, name: str, leave: Leave
) -> None:
    client.get(f"/blocked?name={name}")
    assert next(client.events()) == MessageEvent('"first"')

    leave()
    server.release(name)

    assert server.journal(name, 3) == WHOLE_LIFE


def test_after_a_cancelled_request_the_connection_serves_the_next(
    server: Server, client: Client, name: str
) -> None:
    if not isinstance(client, Http2Client):
        pytest.skip("HTTP/1.1 has no streams")
    client.get(f"/idle?name={name}")
    assert next(client.events()) == MessageEvent('"first"')
    client.reset_stream()
    assert server.journal(name, 3) == WHOLE_LIFE

    client.get(f"/count?name={name}&events=3")

    assert len(list(client.events())) == 3
