"""Servers with a hub are killed, replaced and stopped: nothing is lost, and nothing comes twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.fleet import Fleet, fleet
from tests.client.places import Node, Page, Place, Reading

pytestmark = pytest.mark.e2e

WAYS = {
    "direct": ("direct", ""),
    "gzip": ("direct", "gzip"),
    "nginx": ("nginx", ""),
    "gzip, nginx as documented": ("nginx as documented", "gzip"),
}
"""What is read at the same time: the server, and the codings that it offers."""

WAYS_OF_CHROMIUM = {"zstd": ("tls", "zstd"), "br": ("tls", "br")}
"""Node has no zstd before version 22. Chromium wants TLS for it."""

SOME = 40


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path) as servers:
        yield servers


def read(place: Place, servers: Fleet) -> dict[str, Reading]:
    ways = WAYS | WAYS_OF_CHROMIUM if isinstance(place, Page) else WAYS
    return {
        name: place.read_at(servers.urls[server], "/numbers", query={"codings": codings})
        for name, (server, codings) in ways.items()
    }


def wait_for_all(readings: dict[str, Reading], number: int) -> None:
    for reading in readings.values():
        while number not in reading.data:
            reading.until("event", times=len(reading.data) + 1)


def test_nothing_is_lost_and_nothing_comes_twice(place: Place, servers: Fleet) -> None:
    readings = read(place, servers)
    for reading in readings.values():
        reading.until("open")
    servers.publish(1)  # a client that has an id can be away
    wait_for_all(readings, 1)

    servers.publish(SOME)
    servers.kill()  # while it sends them
    servers.publish(SOME)
    servers.start()
    servers.publish(SOME)
    wait_for_all(readings, servers.last)

    servers.publish(SOME)
    servers.stop()
    servers.publish(SOME)
    for name in ("nginx", "direct"):  # they have met what a deployment shows
        readings[name].until("wait", times=len(readings[name].of("wait")) + 2)
    servers.start()
    servers.publish(SOME)
    wait_for_all(readings, servers.last)

    for name, reading in readings.items():
        reading.abort()
        assert reading.finish()[-1]["what"] == "end"
        assert reading.data == list(range(1, servers.last + 1)), name
        ids = [event["id"] for event in reading.of("event")]
        assert len(set(ids)) == len(ids)
        coding = name.partition(",")[0]
        expected = coding if coding in ("gzip", "zstd", "br") else None
        assert expected in {one["coding"] for one in reading.of("open")}, name
    if isinstance(place, Node):  # a page may not read an answer of nginx's own
        assert any("502" in wait["message"] for wait in readings["nginx"].of("wait"))
