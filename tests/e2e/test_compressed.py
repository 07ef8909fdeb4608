"""A compressed stream is read event by event: each is made when the one before has been read.

So an event that a codec held back would never be followed by another: the client waits for it, and
the generator for the client.
"""

from collections.abc import Iterator

import pytest

from sse_middleware.wire import EventStreamDecoder, MessageEvent
from sse_middleware.wire.decoding import Decoded

from .app import STEPS
from .client import Client
from .codings import Decode, curl, decoder_of, each_coding
from .servers import KINDS, Server

pytestmark = pytest.mark.e2e

on_uvicorn = pytest.mark.parametrize(
    "server",
    [kind for kind in KINDS if kind.name == "uvicorn-httptools-uvloop"],
    indirect=True,
    ids=lambda kind: kind.name,
    scope="session",
)

PING = MessageEvent('"are you there"', type="ping")
HEARD = MessageEvent('{"number":1,"name":"heard"}')


def step(number: int) -> MessageEvent:
    return MessageEvent(f'{{"number":{number},"name":"widget {number}"}}')


def decoded(client: Client, decode: Decode) -> Iterator[Decoded]:
    decoder = EventStreamDecoder()
    for chunk in iter(client.read, b""):
        yield from decoder.feed(decode(chunk))


def assert_each_is_read_before_the_next(
    server: Server, events: Iterator[Decoded], name: str
) -> None:
    for number in range(1, STEPS + 1):
        assert next(events) == step(number)
        server.read(name)
    assert list(events) == []


def assert_a_keep_alive_is_read_first(server: Server, events: Iterator[Decoded], name: str) -> None:
    assert next(events) == PING
    server.read(name)
    assert HEARD in events


@each_coding
def test_each_event_arrives_by_itself(
    server: Server, client: Client, name: str, coding: str
) -> None:
    head = client.get(f"/steps/{coding}?name={name}", {"accept-encoding": coding})

    assert head.headers["content-encoding"] == coding
    assert_each_is_read_before_the_next(server, decoded(client, decoder_of(coding)), name)


@each_coding
def test_a_keep_alive_arrives_by_itself(
    server: Server, client: Client, name: str, coding: str
) -> None:
    client.get(f"/silence/{coding}?name={name}", {"accept-encoding": coding})

    assert_a_keep_alive_is_read_first(server, decoded(client, decoder_of(coding)), name)


@on_uvicorn
@each_coding
def test_each_event_arrives_by_itself_at_curl(server: Server, name: str, coding: str) -> None:
    with curl(server.port, f"/steps/{coding}?name={name}", coding) as events:
        assert_each_is_read_before_the_next(server, events, name)


@on_uvicorn
@each_coding
def test_a_keep_alive_arrives_by_itself_at_curl(server: Server, name: str, coding: str) -> None:
    with curl(server.port, f"/silence/{coding}?name={name}", coding) as events:
        assert_a_keep_alive_is_read_first(server, events, name)
