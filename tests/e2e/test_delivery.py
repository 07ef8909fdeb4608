"""Everything that is yielded arrives, in order, with the right headers."""

import json

import pytest

from sse_middleware.wire import MessageEvent

from .client import Client, Http1Client
from .servers import WHOLE_LIFE, Server

pytestmark = pytest.mark.e2e

EVENTS = 10_000
GENERATORS = ["count", "count-with-pauses", "count-in-thread"]


@pytest.mark.parametrize("generator", GENERATORS)
def test_ten_thousand_events_arrive_complete_and_in_order(
    server: Server, client: Client, name: str, generator: str
) -> None:
    assert client.get(f"/{generator}?name={name}&events={EVENTS}").status == 200

    expected = [MessageEvent(f'{{"number":{number}}}') for number in range(EVENTS)]
    assert list(client.events()) == expected
    assert server.journal(name, 3) == WHOLE_LIFE


def test_the_headers_are_those_of_an_event_stream(client: Client, name: str) -> None:
    plain = client.get("/plain")
    client.body()
    head = client.get(f"/count?name={name}&events=1")
    client.body()

    assert head.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert head.headers["cache-control"] == "no-cache, no-transform"
    assert head.headers["x-accel-buffering"] == "no"
    # What there may be is the server's own, as with any response.
    assert head.headers.get("connection") == plain.headers.get("connection")


def test_the_connection_serves_the_next_request(client: Client, name: str) -> None:
    for events in (3, 0, 3):
        client.get(f"/count?name={name}&events={events}")
        assert len(list(client.events())) == events


def test_a_head_request_never_starts_the_generator(
    server: Server, client: Client, name: str
) -> None:
    target = f"/count?name={name}&events=1"
    head = client.request("HEAD", target)
    body_of_head = client.body()
    assert server.journal(name, 1) == ["ended"]
    got = client.get(target)
    client.body()

    assert head.status == 200
    assert body_of_head == b""
    names = ("content-type", "cache-control", "x-accel-buffering")
    assert [head.headers[name] for name in names] == [got.headers[name] for name in names]
    assert server.journal(name, 4) == ["ended", *WHOLE_LIFE]  # the GET's


def test_a_head_request_is_answered_for_a_stream_that_never_begins(client: Client) -> None:
    head = client.request("HEAD", "/opens-never?name=unused")

    assert head.status == 200
    assert client.body() == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "QUERY"])
@pytest.mark.parametrize("size", [3, 50_000], ids=["small", "large"])
def test_a_generator_may_read_the_body(client: Client, name: str, method: str, size: int) -> None:
    numbers = list(range(size))
    head = client.request(method, f"/echo?name={name}", json.dumps(numbers).encode())

    assert head.status == 200
    assert list(client.events()) == [MessageEvent(str(number)) for number in numbers]


@pytest.mark.parametrize("method", ["POST", "QUERY"])
@pytest.mark.parametrize("size", [3, 50_000], ids=["small", "large"])
def test_a_generator_may_wait_for_the_body(
    server: Server, client: Client, name: str, method: str, size: int
) -> None:
    if server.kind.waits_for_body:
        pytest.skip(f"{server.kind.name} calls the application when the body has arrived")
    numbers = list(range(size))
    body = json.dumps(numbers).encode()
    client.begin(method, f"/echo?name={name}", len(body))
    assert server.journal(name, 1) == ["started"]

    client.send_body(body)

    assert client.head().status == 200
    assert list(client.events()) == [MessageEvent(str(number)) for number in numbers]


@pytest.mark.parametrize("method", ["POST", "QUERY"])
@pytest.mark.parametrize("size", [3, 50_000], ids=["small", "large"])
def test_a_generator_may_wait_for_the_body_after_its_first_event(
    server: Server, client: Client, name: str, method: str, size: int
) -> None:
    if server.kind.waits_for_body:
        pytest.skip(f"{server.kind.name} calls the application when the body has arrived")
    numbers = list(range(size))
    body = json.dumps(numbers).encode()
    client.begin(method, f"/echo-later?name={name}", len(body))
    client.head()
    stream = client.events()
    assert next(stream) == MessageEvent('"ready"')

    client.send_body(body)

    assert list(stream) == [MessageEvent(str(number)) for number in numbers]


def test_a_websocket_handshake_can_be_denied_by_a_stream(server: Server, name: str) -> None:
    if not server.kind.denial:
        pytest.skip(f"{server.kind.name} doesn't offer the extension websocket.http.response")
    with Http1Client(server.port) as client:
        head = client.shake_hands(f"/denied?name={name}")

        assert head.status == 200
        assert head.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert list(client.events()) == [MessageEvent('"denied"'), MessageEvent(f'"{name}"')]
