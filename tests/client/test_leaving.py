"""The caller leaves: by `break`, by its signal, or by an error. The connection closes at once."""

import pytest

from tests.client.fault_server import Answer, FaultServer, drop, flood, head, hold, status, stream
from tests.client.places import Place, Reading, Report

pytestmark = pytest.mark.e2e

EVENT = b"id: 1\ndata: 1\n\n"

LONG: Report = {"retryDelay": 60_000, "maxRetryDelay": 60_000}


def assert_ends(reading: Reading) -> None:
    """The caller wanted it: that is no error."""
    assert reading.finish()[-1]["what"] == "end", reading.told


def test_break_closes_the_connection(place: Place, server: FaultServer) -> None:
    shown = server.show(stream(EVENT, EVENT, then=hold))
    reading = place.read(shown, call={"leave": 1})
    assert reading.finish()[-1]["what"] == "end"
    assert reading.data == [1]
    shown.wait_left()
    assert len(shown.asked) == 1


def test_break_closes_a_connection_that_is_never_silent(place: Place, server: FaultServer) -> None:
    shown = server.show((head(), flood(EVENT * 100, 10**6)))
    reading = place.read(shown, call={"leave": 3})
    assert reading.finish()[-1]["what"] == "end"
    shown.wait_left()
    assert len(shown.asked) == 1


def test_an_error_in_the_loop_closes_the_connection(place: Place, server: FaultServer) -> None:
    shown = server.show(stream(EVENT, then=hold))
    reading = place.read(shown, call={"fail": "event"})
    reading.finish()
    assert (reading.last["what"], reading.last["message"]) == ("error", "the reader's own")
    shown.wait_left()


@pytest.mark.parametrize("callback", ["open", "wait"])
def test_an_error_in_a_callback_reaches_the_loop(
    place: Place, server: FaultServer, callback: str
) -> None:
    answer = stream(EVENT, then=hold) if callback == "open" else status(503)
    shown = server.show(answer)
    reading = place.read(shown, call={"fail": callback}, maxRetries=3)
    reading.finish()
    assert (reading.last["what"], reading.last["message"]) == ("error", "the reader's own")
    if callback == "open":
        shown.wait_left()
    assert len(shown.asked) == 1


def test_abort_while_connecting(place: Place, server: FaultServer) -> None:
    shown = server.show((hold,))
    reading = place.read(shown)
    shown.wait_asked(1)
    reading.abort()
    assert_ends(reading)
    shown.wait_left()
    assert len(shown.asked) == 1


def test_abort_while_open(place: Place, server: FaultServer) -> None:
    shown = server.show(stream(EVENT, then=hold))
    reading = place.read(shown)
    reading.until("event")
    reading.abort()
    assert_ends(reading)
    shown.wait_left()
    assert len(shown.asked) == 1


@pytest.mark.parametrize("answer", [stream(EVENT), status(503, Retry_After="60")])
def test_abort_while_waiting(place: Place, server: FaultServer, answer: Answer) -> None:
    shown = server.show(answer)
    reading = place.read(shown, **LONG)
    reading.until("wait")
    reading.abort()
    assert_ends(reading)
    assert len(shown.asked) == 1


@pytest.mark.parametrize("moment", ["open", "event", "wait"])
def test_abort_in_a_callback(place: Place, server: FaultServer, moment: str) -> None:
    events = EVENT if moment == "wait" else EVENT * 3
    shown = server.show(stream(events, then=None if moment == "wait" else hold))
    reading = place.read(shown, call={"abort": moment}, **LONG)
    assert_ends(reading)
    assert len(reading.data) == (0 if moment == "open" else 1)
    assert len(shown.asked) == 1
    if moment != "wait":
        shown.wait_left()


def test_abort_before_the_loop(place: Place, server: FaultServer) -> None:
    shown = server.show(stream(EVENT))
    reading = place.read(shown, call={"abort": "never"})
    assert_ends(reading)
    assert shown.asked == []


def test_abort_at_any_moment(place: Place, server: FaultServer) -> None:
    """The request may be on its way, or not, or its answer may be."""
    for _ in range(40):
        shown = server.show(stream(EVENT, EVENT, then=hold))
        reading = place.read(shown)
        reading.abort()
        assert_ends(reading)
        if shown.asked:
            shown.wait_left()


@pytest.mark.parametrize("state", ["connecting", "open", "waiting"])
def test_return_does_not_wait_for_an_event(place: Place, server: FaultServer, state: str) -> None:
    answers = {"connecting": (hold,), "open": stream(then=hold), "waiting": stream(then=drop)}
    shown = server.show(answers[state])
    reading = place.read(shown, call={"byHand": True}, **LONG)
    if state == "connecting":
        shown.wait_asked(1)
    else:
        reading.until({"open": "open", "waiting": "wait"}[state])
    reading.go()
    assert reading.finish()[-1]["what"] == "end"
    if state != "waiting":
        shown.wait_left()
    assert len(shown.asked) == 1
