"""Streams of the hub, read by the ``EventSource`` of a real browser."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.e2e.client import Http1Client
from tests.e2e.hub_browser_app import KEPT, TOO_MANY
from tests.e2e.servers import KINDS, Server, running

pytestmark = pytest.mark.e2e

READ = """
([target, last, then]) => new Promise((resolve, reject) => {
  const read = []
  const source = new EventSource(target)
  setTimeout(() => { source.close(); reject(new Error("read " + JSON.stringify(read))) }, 40000)
  const take = (event) => {
    read.push([event.type, event.data, event.lastEventId])
    if (event.data === last) { source.close(); resolve(read) }
  }
  for (const type of ["message", "gap", "ping"]) source.addEventListener(type, take)
  if (then) source.addEventListener("open", () => setTimeout(() => fetch(then), 100), {once: true})
})
"""
"""Reads events up to that with the data `last`, and returns them. Once open, it makes a request."""

END = """
(target) => new Promise((resolve) => {
  const source = new EventSource(target)
  const states = []
  source.onerror = () => {
    states.push(source.readyState)
    if (source.readyState === EventSource.CLOSED) setTimeout(() => resolve(states), 500)
  }
})
"""
"""Waits for the end of an ``EventSource``, and half a second more. Returns the states it was in."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    (uvicorn,) = (kind for kind in KINDS if kind.name == "uvicorn-h11-asyncio")
    command = tuple(part.replace("app:app", "hub_browser_app:app") for part in uvicorn.command)
    output = tmp_path_factory.mktemp("hub") / "output"
    with running(replace(uvicorn, command=command), output) as server:
        yield server


def read(page: Any, target: str, last: int, then: str = "") -> list[tuple[str, Any, str]]:
    """Return type, data and id of each event up to a number."""
    events = page.evaluate(READ, [target, str(last), then])
    return [(type_, json.loads(data), id_) for type_, data, id_ in events]


def told(server: Server, target: str) -> Any:
    with Http1Client(server.port) as client:
        client.get(target)
        return client.json()


def visits(server: Server, topic: str) -> int:
    number: int = told(server, f"/visits/{topic}")
    return number


def test_what_is_published_after_silence_is_not_lost(page: Any, server: Server) -> None:
    """The stream has sent no event when it ends: the client has its position all the same."""
    events = read(page, "/subscribe/primed?missed=2", 2)

    assert [(type_, data) for type_, data, _ in events] == [("message", 1), ("message", 2)]
    assert visits(server, "primed") == 2


def test_keep_alives_are_ids_and_dispatch_nothing(page: Any, server: Server) -> None:
    keep_alives = 0
    while keep_alives < 2:  # on a busy machine, a stream may have no time for one
        with Http1Client(server.port) as client:
            client.get("/subscribe/silent?ping=0.05")
            *blocks, farewell, rest = client.body().decode().split("\n\n")
        keep_alives += len(blocks) - len(("the first position",))
        assert all(block.startswith("id: ") and "\n" not in block for block in blocks)
        assert (farewell, rest) == ("retry: 50", "")

    events = read(page, "/subscribe/silent?ping=0.05", 1, then="/publish/silent?count=1")

    assert [(type_, data) for type_, data, _ in events] == [("message", 1)]


def test_a_keep_alive_moves_the_last_event_id(page: Any, server: Server) -> None:
    """It comes back with the id of what was published elsewhere while it heard nothing.

    Somebody else listens to that. Without them, the position would move with the next tick.
    """
    with Http1Client(server.port) as other:
        other.get("/stay/elsewhere")
        for attempt in range(10):  # on a busy machine, a stream may have no time for a keep-alive
            topic, then = f"moved-{attempt}", "/publish/elsewhere?count=1"
            read(page, f"/subscribe/{topic}?ping=0.05&missed=1", 1, then=then)
            ids = told(server, "/ids")
            _, second = ids["came with"][topic]
            if second >= ids["published"]["elsewhere"]:
                return
    raise AssertionError("the browser came back ten times with the position of before")


def test_a_browser_that_comes_back_again_and_again_loses_nothing(page: Any, server: Server) -> None:
    publish = f"/publish/lossless?count={KEPT}&visits=4"
    events = read(page, "/subscribe/lossless", KEPT, then=publish)

    assert [data for _, data, _ in events] == list(range(1, KEPT + 1))
    ids = [id_ for *_, id_ in events]
    assert ids == sorted(set(ids))
    assert visits(server, "lossless") > 3


def test_a_gap_is_told_before_what_is_left(page: Any) -> None:
    gap, *events = read(page, f"/subscribe/gap?first=other&missed={TOO_MANY}", TOO_MANY)

    assert gap[:2] == ("gap", {"topics": ["gap"], "reason": "expired"})
    assert {type_ for type_, *_ in events} == {"message"}
    numbers = [data for _, data, _ in events]
    assert numbers == list(range(TOO_MANY - len(numbers) + 1, TOO_MANY + 1))
    assert KEPT <= len(numbers) < TOO_MANY


def test_204_ends_an_event_source(page: Any, server: Server) -> None:
    states = page.evaluate(END, "/subscribe-once/ended")

    assert states[-1] == 2  # closed
    assert visits(server, "ended") == 2
