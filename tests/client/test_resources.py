"""What a client holds: memory, listeners, and the network while the reader is slow."""

import pytest

from tests.client.fault_server import STOP, FaultServer, flood, head, hold, pause, send, stream
from tests.client.places import Node, Place, attempts

pytestmark = pytest.mark.e2e

EVENT = b"id: 1\ndata: 1\n\n"

MEGABYTE = 2**20

BULK = b"data: " + b"1" * 2**16 + b"\n\n"

GROWN = 8 * MEGABYTE
"""Bytes that a heap may have grown by, of some that stay once they were used."""


def test_a_long_stream_leaves_nothing_in_memory(in_node: Node, server: FaultServer) -> None:
    ids = b"".join(
        b"id: %d\nevent: name%d\ndata: [%d]\n\n" % ((number,) * 3) for number in range(1000)
    )
    shown = server.show((head(), flood(ids, 10), pause, flood(ids, 300), pause), STOP)
    reading = in_node.read(shown, call={"tellAfter": 10_000})
    reading.until("count")
    before = reading.ask("memory")["bytes"]
    shown.go_on()
    reading.until("count", times=31)
    assert reading.ask("memory")["bytes"] - before < GROWN
    shown.go_on()
    assert reading.finish()[-1]["count"] == 310_000


def test_a_stream_that_only_has_keep_alives_leaves_nothing_in_memory(
    in_node: Node, server: FaultServer
) -> None:
    pings = (b": " + b"x" * 1000 + b"\n\n:\r\r") * 100
    shown = server.show((head(), send(EVENT), pause, flood(pings, 300), send(EVENT), pause), STOP)
    reading = in_node.read(shown)
    reading.until("event")
    before = reading.ask("memory")["bytes"]
    shown.go_on()
    reading.until("event", times=2)
    assert reading.ask("memory")["bytes"] - before < GROWN
    shown.go_on()
    reading.finish()


def test_connections_leave_nothing_on_a_signal(in_node: Node, server: FaultServer) -> None:
    shown = server.show(*[stream(EVENT)] * 40, stream(EVENT, then=hold))
    reading = in_node.read(shown, call={"leave": 41}, retryDelay=1, maxRetryDelay=1)
    reading.until("event", times=20)
    assert reading.ask("listeners")["count"] <= 1
    reading.until("end")
    assert reading.ask("listeners")["count"] == 0


def test_one_signal_for_many_streams(in_node: Node, server: FaultServer) -> None:
    """More than ten listeners are a warning of Node. Of each stream there is one at most."""
    readings = [in_node.read(server.show(stream(EVENT, then=hold))) for _ in range(20)]
    for reading in readings:
        reading.until("event")
        reading.abort()
    for reading in readings:
        assert reading.finish()[-1]["what"] == "end"
        assert reading.ask("listeners")["count"] == 0


def test_a_slow_reader_holds_the_network_back(place: Place, server: FaultServer) -> None:
    """The reader is slower than the idle timeout, too. That is no silence of the server."""
    count = 1000
    for _ in attempts():
        shown = server.show((head(), flood(BULK, count)), STOP)
        reading = place.read(shown, call={"slow": 1500, "quiet": True}, idleTimeout=1000)
        reading.until("slow")
        assert shown.asked[0].sent < count * len(BULK) / 2
        if not [one for one in reading.finish() if "silent" in one.get("message", "")]:
            break
    assert reading.last["count"] == count
    assert len(shown.asked) == 2


def test_a_long_line_takes_time_in_proportion(place: Place, server: FaultServer) -> None:
    """One event of 16 megabytes in thousands of pieces. If each were joined, it took minutes."""
    text = b"x" * 2**10
    shown = server.show((head(), send(b'data: "'), flood(text, 2**14), send(b'"\n\n')), STOP)
    reading = place.read(shown, call={"quiet": True})
    assert reading.finish()[-1]["count"] == 1
    assert len(shown.asked) == 2


def test_many_lines_of_one_event(place: Place, server: FaultServer) -> None:
    lines = b"data: 1,\n" * 1000
    shown = server.show(
        (head(), send(b"data: [\n"), flood(lines, 300), send(b"data: 1]\n\n")), STOP
    )
    reading = place.read(shown, call={"quiet": True})
    assert reading.finish()[-1]["count"] == 1
