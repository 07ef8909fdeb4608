"""The chat room, with three members."""

import json
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from sse_middleware.wire import MessageEvent
from tests.patience import PATIENCE

from .test_app import read, serving

pytestmark = pytest.mark.e2e


@pytest.fixture
def room() -> Iterator[str]:
    yield from serving("examples.room")


def joined(room: str, name: str, stack: ExitStack) -> httpx.Client:
    client = stack.enter_context(httpx.Client(base_url=room, timeout=PATIENCE))
    client.post(f"/join/{name}").raise_for_status()
    return client


def said(events: list[MessageEvent]) -> list[tuple[str, str, str]]:
    """Return the type, the speaker and the text of each event."""
    items = [(event.type, json.loads(event.data)) for event in events]
    return [(type_, item["from"], item["text"]) for type_, item in items]


def heard(client: httpx.Client, count: int) -> list[tuple[str, str, str]]:
    with client.stream("GET", "/events") as response:
        return said(read(response, count))


def test_the_page_is_there(room: str) -> None:
    assert "EventSource" in httpx.get(room, timeout=PATIENCE).text


def test_a_member_reads_the_room_and_its_own_topic_from_the_beginning(room: str) -> None:
    with ExitStack() as stack:
        ann, ben, eve = (joined(room, name, stack) for name in ("ann", "ben", "eve"))
        ann.post("/say", json={"text": "hello"})
        ann.post("/whisper/ben", json={"text": "a secret"})
        ben.post("/say", json={"text": "bye"})

        hello, secret, bye = (
            ("said", "ann", "hello"),
            ("whispered", "ann", "a secret"),
            ("said", "ben", "bye"),
        )
        assert heard(ben, 3) == [hello, secret, bye]
        assert heard(eve, 2) == [hello, bye]


def test_whoever_is_no_member_is_refused(room: str) -> None:
    assert httpx.get(f"{room}/events", timeout=PATIENCE).status_code == 403
    assert httpx.post(f"{room}/say", json={"text": "hello"}, timeout=PATIENCE).status_code == 403


def test_a_member_who_is_removed_hears_nothing_more(room: str) -> None:
    with ExitStack() as stack:
        ann, eve = (joined(room, name, stack) for name in ("ann", "eve"))
        ann.post("/say", json={"text": "hello"})
        with eve.stream("GET", "/events") as response:
            chunks = response.iter_raw()
            while b"hello" not in next(chunks):
                pass
            ann.post("/remove/eve")
            ann.post("/say", json={"text": "now we are alone"})
            rest = b"".join(chunks)

        assert b"alone" not in rest
        assert eve.get("/events").status_code == 403
        assert eve.post("/join/eve").status_code == 403
