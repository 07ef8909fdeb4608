"""How long the client waits before it asks again, and how often it asks."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest

from tests.client.fault_server import STOP, FaultServer, drop, hold, status, stream
from tests.client.places import Place

pytestmark = pytest.mark.e2e

EVENT = b"id: 1\ndata: 1\n\n"


def test_retry_after_in_seconds(place: Place, server: FaultServer) -> None:
    shown = server.show(status(503, Retry_After="1"), STOP)
    reading = place.read(shown)
    reading.finish()
    assert reading.of("wait")[0]["delay"] == 1000
    assert shown.pauses[0] > 0.95


def test_retry_after_as_a_date(place: Place, server: FaultServer) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    shown = server.show(status(429, Retry_After=date), STOP)
    reading = place.read(shown)
    assert 3_500_000 < reading.until("wait")["delay"] <= 3_600_000
    reading.abort()
    reading.finish()


@pytest.mark.parametrize(
    "value", ["soon", "-1", "1.5", "0x10", "", "Wed, 21 Oct 2015 07:28:00 GMT"]
)
def test_retry_after_of_another_kind(place: Place, server: FaultServer, value: str) -> None:
    shown = server.show(status(503, Retry_After=value), STOP)
    reading = place.read(shown)
    assert reading.finish()[-1]["what"] == "end"
    assert 0 <= reading.of("wait")[0]["delay"] <= 1500


@pytest.mark.parametrize("seconds", ["2147484", "99999999999", "9" * 400])
def test_retry_after_longer_than_a_timer(place: Place, server: FaultServer, seconds: str) -> None:
    shown = server.show(status(503, Retry_After=seconds), stream(EVENT, then=hold))
    reading = place.read(shown)
    reading.until("wait")
    assert_does_not_ask(place, server)
    reading.abort()
    reading.finish()
    assert len(shown.asked) == 1


@pytest.mark.parametrize("retry", [b"2147483648", b"99999999999", b"9" * 400])
def test_retry_longer_than_a_timer(place: Place, server: FaultServer, retry: bytes) -> None:
    shown = server.show(stream(b"retry: " + retry + b"\n\n"), stream(EVENT))
    reading = place.read(shown, maxRetryDelay=10**12)
    reading.until("wait")
    assert_does_not_ask(place, server)
    reading.abort()
    reading.finish()
    assert len(shown.asked) == 1


def assert_does_not_ask(place: Place, server: FaultServer) -> None:
    """Have another stream come and go. One that waits no time would have asked by then."""
    other = place.read(server.show(stream(then=drop), stream(then=drop), STOP))
    other.finish()


def test_retry_sets_the_delay(place: Place, server: FaultServer) -> None:
    shown = server.show(stream(b"retry: 400\n\ndata: 1\n\n"), STOP)
    reading = place.read(shown, maxRetryDelay=10_000)
    reading.finish()
    assert 300 <= reading.of("wait")[0]["delay"] <= 400
    assert shown.pauses[0] > 0.29


@pytest.mark.parametrize("value", [b"-1", b"1.5", b"1e1", b"0x1", b"ten", b"", b"\xd9\xa5"])
def test_retry_that_is_no_number_is_ignored(
    place: Place, server: FaultServer, value: bytes
) -> None:
    shown = server.show(stream(b"data: 1\nretry: " + value + b"\n\n"), STOP)
    reading = place.read(shown, retryDelay=200, maxRetryDelay=200)
    reading.finish()
    assert 150 <= reading.of("wait")[0]["delay"] <= 200


def test_retry_of_nothing_is_no_loop(place: Place, server: FaultServer) -> None:
    """A server that says 0 and ends at once is not asked as fast as the network allows."""
    shown = server.show(*[stream(b"retry: 0\n\n")] * 6, STOP)
    reading = place.read(shown, retryDelay=50, maxRetryDelay=500)
    reading.finish()
    assert sum(one["delay"] for one in reading.of("wait")) > 100


def test_the_delay_doubles_until_the_first_event(place: Place, server: FaultServer) -> None:
    empty = stream()
    shown = server.show(empty, status(500), (drop,), empty, stream(EVENT), STOP)
    reading = place.read(shown, retryDelay=60, maxRetryDelay=300)
    reading.finish()
    waits = reading.of("wait")
    for number, (wait, most) in enumerate(zip(waits, [60, 120, 240, 300, 60], strict=True)):
        assert 0.75 * most - 1 <= wait["delay"] <= most, number
    assert [wait["attempt"] for wait in waits] == [1, 2, 3, 4, 1]
    for wait, pause in zip(waits, shown.pauses, strict=True):
        assert pause * 1000 > wait["delay"] - 2


def test_delays_differ(place: Place, server: FaultServer) -> None:
    """Many clients that lost one server don't come back at the same moment."""
    shown = server.show(*[stream(EVENT)] * 8, STOP)
    reading = place.read(shown, retryDelay=100, maxRetryDelay=100)
    reading.finish()
    delays = {wait["delay"] for wait in reading.of("wait")}
    assert len(delays) > 2
    assert all(75 <= delay <= 100 for delay in delays)


def test_it_gives_up_after_as_many_attempts_as_it_may(place: Place, server: FaultServer) -> None:
    shown = server.show(status(503), stream(), (drop,), status(502))
    reading = place.read(shown, maxRetries=3)
    assert reading.finish()[-1]["what"] == "error"
    assert len(shown.asked) == 4
    assert len(reading.of("wait")) == 3


def test_attempts_are_counted_from_the_last_event(place: Place, server: FaultServer) -> None:
    lost = (drop,)
    shown = server.show(lost, lost, stream(EVENT), lost, stream(EVENT), STOP)
    reading = place.read(shown, maxRetries=2)
    assert reading.finish()[-1]["what"] == "end"
    assert len(shown.asked) == 6


def test_no_retry_is_no_second_request(place: Place, server: FaultServer) -> None:
    shown = server.show(stream(EVENT))
    reading = place.read(shown, maxRetries=0)
    assert reading.finish()[-1]["what"] == "error"
    assert len(shown.asked) == 1


def test_a_server_that_is_not_there(place: Place, server: FaultServer) -> None:
    shown = server.show(STOP)
    reading = place.read(shown, baseUrl="http://127.0.0.1:9", maxRetries=2)
    assert reading.finish()[-1]["what"] == "error"
    assert len(reading.of("wait")) == 2
    assert all(
        before["attempt"] < after["attempt"] for before, after in pairwise(reading.of("wait"))
    )
