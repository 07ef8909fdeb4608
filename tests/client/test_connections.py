"""Connections that drop, end or fall silent, and how the client comes back."""

import json
import zlib

import pytest

from tests.client.fault_server import (
    STOP,
    FaultServer,
    Step,
    cut,
    drop,
    head,
    hold,
    pause,
    reset,
    send,
    stream,
)
from tests.client.places import Place, attempts

pytestmark = pytest.mark.e2e

each_drop = pytest.mark.parametrize("lost", [drop, reset], ids=["closed", "reset"])


def event(number: int) -> bytes:
    return b"id: %d\ndata: %d\n\n" % (number, number)


@each_drop
def test_a_drop_before_the_head(place: Place, server: FaultServer, lost: Step) -> None:
    shown = server.show((lost,), stream(event(1), then=hold))
    reading = place.read(shown, call={"leave": 1})
    reading.finish()
    assert [one["what"] for one in reading.told] == ["wait", "open", "event", "end"]
    assert shown.ids == [None, None]


@each_drop
def test_a_drop_after_the_head(place: Place, server: FaultServer, lost: Step) -> None:
    shown = server.show(stream(then=lost), stream(event(1), then=hold))
    reading = place.read(shown, call={"leave": 1})
    reading.finish()
    assert [one["what"] for one in reading.told] == ["open", "wait", "open", "event", "end"]
    assert shown.ids == [None, None]


@each_drop
def test_a_drop_after_an_event(place: Place, server: FaultServer, lost: Step) -> None:
    shown = server.show(cut(event(1), lost=lost), cut(event(2), event(3), lost=lost), STOP)
    reading = place.read(shown)
    for number in (1, 3):
        reading.until("event", times=number)
        shown.go_on()
    reading.finish()
    assert reading.data == [1, 2, 3]
    assert shown.ids == [None, "1", "3"]


@pytest.mark.parametrize("part", [b"i", b"id: 2", b"id: 2\n", b"id: 2\ndata: 2\n"])
def test_a_drop_in_the_middle_of_an_event(place: Place, server: FaultServer, part: bytes) -> None:
    shown = server.show(cut(event(1) + part), stream(event(2)), STOP)
    reading = place.read(shown)
    reading.until("event")
    shown.go_on()
    reading.finish()
    assert reading.data == [1, 2]
    assert shown.ids == [None, "1", "2"]


@pytest.mark.parametrize("part", [b"data: \xe2\x82", b"data: 1\r", b"data: 1", b"event: a\n"])
def test_nothing_of_a_connection_is_left_in_the_next(
    place: Place, server: FaultServer, part: bytes
) -> None:
    shown = server.show(stream(event(1), part), stream(b"\ndata: 2\n\n"), STOP)
    reading = place.read(shown)
    reading.finish()
    assert [(one["event"], one["data"]) for one in reading.of("event")] == [
        ("message", 1),
        ("message", 2),
    ]


def compressed(*pieces: bytes) -> list[bytes]:
    """Return pieces of gzip, each of them flushed, without the end of the whole."""
    gzip = zlib.compressobj(wbits=31)
    return [gzip.compress(piece) + gzip.flush(zlib.Z_SYNC_FLUSH) for piece in pieces]


def test_a_drop_in_the_middle_of_compressed_bytes(place: Place, server: FaultServer) -> None:
    first, second = compressed(event(1), event(2))
    broken = (head(Content_Encoding="gzip"), send(first), pause, send(second[:3]), drop)
    shown = server.show(broken, stream(event(2)), STOP)
    reading = place.read(shown)
    reading.until("event")
    shown.go_on()
    reading.finish()
    assert (reading.data, shown.ids) == ([1, 2], [None, "1", "2"])


def test_compressed_bytes_that_are_none(place: Place, server: FaultServer) -> None:
    """No end follows them: Node 20 says nothing of a body that has ended before it is decoded."""
    broken = (head(Content_Encoding="gzip"), send(b"no gzip"), hold)
    shown = server.show(broken, stream(event(1)), STOP)
    reading = place.read(shown)
    reading.finish()
    assert (reading.data, shown.ids) == ([1], [None, None, "1"])


def test_the_first_request_has_the_id_of_the_caller(place: Place, server: FaultServer) -> None:
    shown = server.show(stream(b"data: 1\n\n"), STOP)
    reading = place.read(shown, lastEventId="41")
    reading.finish()
    assert shown.ids == ["41", "41"]
    assert reading.of("event")[0]["id"] == "41"


@pytest.mark.parametrize("method", ["", "POST"])
def test_a_clean_end_is_the_end_unless_it_comes_back_always(
    place: Place, server: FaultServer, method: str
) -> None:
    shown = server.show(stream(event(1)), stream(event(2)), STOP)
    reading = place.read(shown, method)
    assert reading.finish()[-1]["what"] == "end"
    assert reading.data == ([1] if method else [1, 2])
    assert shown.ids == ([None] if method else [None, "1", "2"])


def test_a_clean_end_without_the_last_event_is_not_the_end(
    place: Place, server: FaultServer
) -> None:
    """A server that fails or stops ends its streams cleanly. A part of an answer is no answer."""
    shown = server.show(stream(event(1)))
    reading = place.read(shown, "POST", call={"data": "[DONE]"}, json={})
    assert reading.finish()[-1]["what"] == "error"
    assert (reading.data, len(shown.asked)) == ([1], 1)


def test_the_last_event_tells_a_cut_body_from_a_whole_one(
    place: Place, server: FaultServer
) -> None:
    """Node takes a cut body for whole if the response says that the connection closes."""
    shown = server.show((head(Connection="close"), send(event(1)), pause, drop))
    reading = place.read(shown, "POST", call={"data": "[DONE]"}, json={}, maxRetries=0)
    reading.until("event")
    shown.go_on()
    assert reading.finish()[-1]["what"] == "error"


def test_a_get_can_end_with_its_stream(place: Place, server: FaultServer) -> None:
    shown = server.show(stream(event(1)), stream(event(2)))
    reading = place.read(shown, reconnect="on-error")
    assert reading.finish()[-1]["what"] == "end"
    assert (reading.data, len(shown.asked)) == ([1], 1)


def test_a_post_can_come_back_always(place: Place, server: FaultServer) -> None:
    shown = server.show(stream(event(1)), stream(event(2)), STOP)
    reading = place.read(shown, "POST", reconnect="always")
    assert reading.finish()[-1]["what"] == "end"
    assert (reading.data, shown.ids) == ([1, 2], [None, "1", "2"])


def test_a_stream_that_never_comes_back(place: Place, server: FaultServer) -> None:
    shown = server.show(cut(event(1)))
    reading = place.read(shown, reconnect="never")
    reading.until("event")
    shown.go_on()
    assert reading.finish()[-1]["what"] == "error"
    assert (reading.data, len(shown.asked)) == ([1], 1)


@each_drop
def test_a_post_without_an_id_is_not_repeated(
    place: Place, server: FaultServer, lost: Step
) -> None:
    shown = server.show(cut(b"data: 1\n\n", lost=lost), stream(event(2)))
    reading = place.read(shown, "POST", json={"text": "é"})
    reading.until("event")
    shown.go_on()
    assert reading.finish()[-1]["what"] == "error"
    assert len(shown.asked) == 1
    assert json.loads(shown.asked[0].body) == {"text": "é"}


def test_a_post_with_an_id_that_no_header_can_have_is_not_repeated(
    place: Place, server: FaultServer
) -> None:
    shown = server.show(cut(b"id: \x01\ndata: 1\n\n"), stream(event(2)))
    reading = place.read(shown, "POST", json={})
    reading.until("event")
    shown.go_on()
    assert reading.finish()[-1]["what"] == "error"
    assert len(shown.asked) == 1


def test_a_get_with_such_an_id_comes_back_without_it(place: Place, server: FaultServer) -> None:
    shown = server.show(stream(b"id: 1\x7f\ndata: 1\n\n"), stream(event(2)), STOP)
    reading = place.read(shown)
    assert reading.finish()[-1]["what"] == "end"
    assert (reading.data, shown.ids) == ([1, 2], [None, None, "2"])


def test_a_post_with_an_id_is_resumed(place: Place, server: FaultServer) -> None:
    shown = server.show(cut(event(1)), stream(event(2)))
    reading = place.read(shown, "POST", json={"text": "é"})
    reading.until("event")
    shown.go_on()
    assert reading.finish()[-1]["what"] == "end"
    assert (reading.data, shown.ids) == ([1, 2], [None, "1"])
    assert [asked.method for asked in shown.asked] == ["POST", "POST"]
    assert [json.loads(asked.body) for asked in shown.asked] == [{"text": "é"}] * 2
    assert {asked.headers["content-type"] for asked in shown.asked} == {"application/json"}


def test_a_post_that_got_no_answer_is_repeated(place: Place, server: FaultServer) -> None:
    """Nothing of the answer has come. A server that is being replaced drops such requests."""
    shown = server.show((drop,), stream(event(1)))
    reading = place.read(shown, "POST", json={})
    assert reading.finish()[-1]["what"] == "end"
    assert (reading.data, shown.ids) == ([1], [None, None])


def test_silence_is_a_drop(place: Place, server: FaultServer) -> None:
    answer = stream(event(2), then=hold)
    shown = server.show(stream(event(1), then=hold), after={"1": answer})
    reading = place.read(shown, call={"leave": 2}, idleTimeout=150)
    reading.finish()
    assert reading.data == [1, 2]
    came_back = shown.assert_resumed_after("1")
    assert shown.pauses[came_back - 1] > 0.14
    shown.wait_left(0)


def test_silence_after_the_head_is_a_drop(place: Place, server: FaultServer) -> None:
    shown = server.show(stream(then=hold), stream(event(1), then=hold))
    reading = place.read(shown, call={"leave": 1}, idleTimeout=150)
    reading.finish()
    assert reading.data == [1]
    assert len(shown.asked) > 1
    shown.wait_left(0)


def test_silence_before_the_head_is_a_drop(place: Place, server: FaultServer) -> None:
    shown = server.show((hold,), stream(event(1), then=hold))
    reading = place.read(shown, call={"leave": 1}, idleTimeout=150)
    reading.finish()
    assert reading.data == [1]
    assert len(shown.asked) > 1
    shown.wait_left(0)


def test_keep_alives_are_no_silence(place: Place, server: FaultServer) -> None:
    pings = [send(b":\n\n" if number % 5 == 0 else b":") for number in range(250)]
    for _ in attempts():
        shown = server.show((*stream(event(1)), *pings, send(b"\n", event(2)), hold))
        reading = place.read(shown, call={"leave": 2}, idleTimeout=300)
        reading.finish()
        if len(shown.asked) == 1:
            break
    assert reading.data == [1, 2]
