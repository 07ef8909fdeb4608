"""Answers that are no event stream."""

import pytest

from tests.client.fault_server import STOP, FaultServer, hold, status, stream
from tests.client.places import Place

pytestmark = pytest.mark.e2e

EVENT = b"id: 1\ndata: 1\n\n"


def test_204_is_the_end(place: Place, server: FaultServer) -> None:
    shown = server.show(STOP)
    reading = place.read(shown)
    assert [one["what"] for one in reading.finish()] == ["end"]
    assert len(shown.asked) == 1


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504])
def test_a_trouble_of_the_server_passes(place: Place, server: FaultServer, code: int) -> None:
    shown = server.show(status(code), status(code, b"trouble"), stream(EVENT, then=hold))
    reading = place.read(shown, call={"leave": 1})
    reading.finish()
    assert [one["what"] for one in reading.told] == ["wait", "wait", "open", "event", "end"]
    assert [one["attempt"] for one in reading.of("wait")] == [1, 2]
    assert len(shown.asked) == 3


def test_an_answer_that_has_no_end_is_left_before_the_wait(
    place: Place, server: FaultServer
) -> None:
    shown = server.show((*status(503, b"trouble"), hold), STOP)
    reading = place.read(shown, retryDelay=60_000, maxRetryDelay=60_000)
    reading.until("wait")
    shown.wait_left()
    reading.abort()
    reading.finish()


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 422, 501, 505])
def test_another_status_is_an_error(place: Place, server: FaultServer, code: int) -> None:
    shown = server.show(status(code, b"no"))
    reading = place.read(shown)
    assert [one["what"] for one in reading.finish()] == ["error"]
    assert reading.last["name"] == "StreamError"
    assert reading.last["status"] == code
    assert len(shown.asked) == 1


def test_a_stream_with_an_error_status_is_an_error(place: Place, server: FaultServer) -> None:
    answer = status(404, EVENT, "text/event-stream")
    shown = server.show(answer)
    reading = place.read(shown)
    assert [one["what"] for one in reading.finish()] == ["error"]
    assert reading.last["status"] == 404


@pytest.mark.parametrize(
    "type", ["text/html", "text/event-streams", "application/json", "x; text/event-stream"]
)
def test_another_type_is_an_error(place: Place, server: FaultServer, type: str) -> None:
    answer = status(200, b"<!doctype html>\ndata: 1\n\n", type)
    shown = server.show(answer)
    reading = place.read(shown)
    assert [one["what"] for one in reading.finish()] == ["error"]
    assert (reading.last["name"], reading.last["status"]) == ("StreamError", 200)
    assert len(shown.asked) == 1


@pytest.mark.parametrize(
    "type", ["text/event-stream; charset=utf-8", "Text/Event-Stream", "text/event-stream ;x=y"]
)
def test_the_type_may_be_written_otherwise(place: Place, server: FaultServer, type: str) -> None:
    shown = server.show((*status(200, EVENT, type), hold))
    reading = place.read(shown, call={"leave": 1})
    reading.finish()
    assert reading.data == [1]


def test_a_redirect_is_followed(place: Place, server: FaultServer) -> None:
    target = server.show(stream(EVENT, then=hold))
    shown = server.show(status(307, Location=target.path))
    reading = place.read(shown, call={"leave": 1})
    reading.finish()
    assert reading.data == [1]


def test_a_post_waits_while_the_server_has_no_room(place: Place, server: FaultServer) -> None:
    shown = server.show(status(503), stream(EVENT))
    reading = place.read(shown, "POST", json={"a": 1})
    assert reading.finish()[-1]["what"] == "end"
    assert [asked.body for asked in shown.asked] == [b'{"a":1}'] * 2
