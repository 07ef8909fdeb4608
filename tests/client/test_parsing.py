"""What the client makes of the bytes of a stream, whichever way they come."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.client.fault_server import STOP, FaultServer, hold, stream
from tests.client.places import Place

pytestmark = pytest.mark.e2e

BOM = b"\xef\xbb\xbf"


def one_by_one(text: str) -> list[bytes]:
    return [bytes([byte]) for byte in text.encode()]


@dataclass(frozen=True)
class Case:
    name: str
    pieces: list[bytes]
    events: list[tuple[str, Any, str]]
    """Names, data and ids."""
    next_id: str | None = None
    """The ``Last-Event-ID`` of the next request."""


CASES = [
    Case(
        "bytes one by one",
        one_by_one('event: price\nid: 7\ndata: "é €😀"\n\n: é\ndata: 2\n\n'),
        [("price", "é €😀", "7"), ("message", 2, "7")],
        "7",
    ),
    Case(
        "CRLF split over two pieces",
        [
            b"data: [1,\r",
            b"\ndata: 2]\r\n\r",
            b"\ndata: 3\r",
            b"\n",
            b"\r",
            b"\n",
            b"data: 4\r\n\r\n",
        ],
        [("message", [1, 2], ""), ("message", 3, ""), ("message", 4, "")],
    ),
    Case(
        "CR only",
        [b"id: 4\rdata: 1\r\rdata: 2\r\r", b"data: 3\r", b"\r"],
        [("message", number, "4") for number in (1, 2, 3)],
        "4",
    ),
    Case(
        "line ends mixed",
        [b"data: 1\r\n\ndata: 2\n\r", b"data: 3\n\r\ndata: 4\r\r\n"],
        [("message", number, "") for number in (1, 2, 3, 4)],
    ),
    Case("BOM", [BOM + b"data: 1\n\n"], [("message", 1, "")]),
    Case("BOM split", [BOM[:1], BOM[1:], b"data: 1\n\n"], [("message", 1, "")]),
    Case("BOM twice", [BOM + BOM + b"data: 1\n\ndata: 2\n\n"], [("message", 2, "")]),
    Case(
        "leading spaces",
        [b"event:a\ndata:1\n\nevent:  a\ndata: 2\n\n event: a\ndata: 3\n\n"],
        [("a", 1, ""), (" a", 2, ""), ("message", 3, "")],
    ),
    Case("data without a colon", [b"data\ndata: 1\n\n"], [("message", 1, "")]),
    Case("no data", [b"event: a\n\ndata: 1\n\n\n\n\n"], [("message", 1, "")]),
    Case(
        "fields that nobody knows",
        [b"data: 1\nevents: a\nDATA: 2\ndata : 3\nx\n:\n\n"],
        [("message", 1, "")],
    ),
    Case("unfinished last event", [b"data: 1\n\ndata: 2\nid: 2\n"], [("message", 1, "")]),
    Case("unfinished last line", [b"id: 1\ndata: 1\n\nid: 2"], [("message", 1, "1")], "1"),
    Case("id-only block", [b"data: 1\n\nid: 5\n\n"], [("message", 1, "")], "5"),
    Case(
        "empty id",
        [b"id: 5\ndata: 1\n\nid\ndata: 2\n\n"],
        [("message", 1, "5"), ("message", 2, "")],
    ),
    Case("empty id-only block", [b"id: 5\ndata: 1\n\nid:\n\n"], [("message", 1, "5")]),
    Case(
        "id with NUL",
        [b"id: 5\ndata: 1\n\nid: 6\0\ndata: 2\n\nid: \0\n\n"],
        [("message", 1, "5"), ("message", 2, "5")],
        "5",
    ),
    Case("invalid bytes", [b'data: "\xff\xc3', b'("\n\n'], [("message", "\ufffd\ufffd(", "")]),
    Case(
        "line ends of other texts",
        ['data: "\u2028\x0b\x0c\x85"\n\n'.encode().replace(b"\x0b\x0c", b"\\n")],
        [("message", "\u2028\n\x85", "")],
    ),
    Case("a name of an object's own", [b"event: __proto__\ndata: 1\n\n"], [("__proto__", 1, "")]),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_stream_means_what_the_standard_says(
    case: Case, place: Place, server: FaultServer
) -> None:
    shown = server.show(stream(*case.pieces), STOP)

    reading = place.read(shown)

    assert reading.finish()[-1]["what"] == "end", reading.told
    found = [(one["event"], one["data"], one["id"]) for one in reading.of("event")]
    assert found == case.events
    assert shown.ids == [None, case.next_id]


def test_an_event_that_cr_ends_does_not_wait_for_what_follows(
    place: Place, server: FaultServer
) -> None:
    shown = server.show(stream(b"data: 1\r\rdata: 2\r\r", then=hold))
    reading = place.read(shown, call={"leave": 2})
    assert reading.finish()[-1]["what"] == "end"
    assert reading.data == [1, 2]


@pytest.mark.parametrize("id_", ["ü", "€ 日本語😀", "a\u2028b", "Ã¼", "%C3%BC", "a, b"])
def test_an_id_comes_back_as_it_was(place: Place, server: FaultServer, id_: str) -> None:
    shown = server.show(stream(f"id: {id_}\ndata: 1\n\n".encode()), STOP)
    reading = place.read(shown)
    assert reading.finish()[-1]["what"] == "end", reading.told
    assert reading.of("event")[0]["id"] == id_
    [_, sent] = shown.ids
    assert sent is not None
    assert sent.encode("latin-1").decode() == id_


@pytest.mark.parametrize("data", ["{", "", "undefined", "[DONE]", "NaN", "1 2"])
def test_data_that_is_no_json_is_text(place: Place, server: FaultServer, data: str) -> None:
    shown = server.show(stream(f"data: 1\n\ndata: {data}\n\ndata: 2\n\n".encode()), STOP)
    reading = place.read(shown)
    assert reading.finish()[-1]["what"] == "end"
    assert reading.data == [1, data, 2]


def test_a_last_frame_ends_the_loop(place: Place, server: FaultServer) -> None:
    shown = server.show(stream(b"data: 1\n\ndata: [DONE]\n\ndata: 2\n\n", then=hold))
    reading = place.read(shown, "POST", call={"data": "[DONE]"}, json={})
    assert reading.finish()[-1] == {**reading.last, "what": "end"}
    assert reading.data == [1]
    shown.wait_left()
    assert len(shown.asked) == 1
