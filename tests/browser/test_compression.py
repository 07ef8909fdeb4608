"""Compressed streams, read event by event by the ``EventSource`` of a real browser.

Each event exists when the page has told by another request that it has read the one before.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.app import STEPS
from tests.e2e.codings import each_coding
from tests.e2e.servers import KINDS, Server, running

pytestmark = pytest.mark.e2e

SCRIPT = """
([target, name, type, count]) => new Promise((resolve, reject) => {
  const read = []
  const source = new EventSource(target)
  source.onerror = () => { source.close(); reject(new Error("read " + read.join())) }
  source.addEventListener(type, (event) => {
    read.push(event.data)
    fetch("/read/" + name)
    if (read.length === count) { source.close(); resolve(read) }
  })
})
"""
"""Reads a number of events of a type, reports each as read, and returns their data."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    (uvicorn,) = (kind for kind in KINDS if kind.name == "uvicorn-h11-asyncio")
    with running(uvicorn, tmp_path_factory.mktemp("browser") / "output") as server:
        yield server


def read(page: Any, target: str, name: str, type_: str, count: int) -> tuple[list[str], str]:
    """Return the data of the events, and the coding that they came in."""
    with page.expect_response(lambda response: target in response.url) as coming:
        data: list[str] = page.evaluate(SCRIPT, [target, name, type_, count])
    return data, coming.value.headers["content-encoding"]


@each_coding
def test_a_compressed_stream_is_read_event_by_event(page: Any, coding: str) -> None:
    name = f"steps-{coding}"
    data, came_in = read(page, f"/steps/{coding}?name={name}", name, "message", STEPS)
    assert came_in == coding
    assert data == [
        f'{{"number":{number},"name":"widget {number}"}}' for number in range(1, STEPS + 1)
    ]


@each_coding
def test_a_compressed_keep_alive_is_read_before_any_event(page: Any, coding: str) -> None:
    name = f"silence-{coding}"
    data, came_in = read(page, f"/silence/{coding}?name={name}", name, "ping", 1)
    assert came_in == coding
    assert data == ['"are you there"']
