"""What a client accepts: weights of media ranges and of codings. The id that it sends back."""

from typing import Any
from urllib.parse import quote_from_bytes

import pytest

from sse_middleware.wire.request_headers import (
    LONGEST_EVENT_ID,
    LONGEST_HEADER,
    accept_of,
    last_event_id,
    preferred_coding,
    prefers_events,
    quality,
)
from tests.legacy.steps import Steps


@pytest.mark.parametrize(
    ("headers", "accept"),
    [
        ([], None),
        ([(b"host", b"x")], None),
        ([(b"accept", b"text/csv")], b"text/csv"),
        ([(b"accept", b"")], b""),
        ([(b"accept", b"a/b"), (b"x", b"y"), (b"accept", b"c/d;q=0.1")], b"a/b,c/d;q=0.1"),
    ],
)
def test_several_accepts_are_one(headers: list[tuple[bytes, bytes]], accept: bytes | None) -> None:
    assert accept_of(headers) == accept


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (b"", 0),
        (b"text/csv", 1),
        (b"TEXT/CSV", 1),
        (b"text/html", 0),
        (b"text/*", 1),
        (b"*/*", 1),
        (b"application/*", 0),
        (b"text/csv;q=0.5", 0.5),
        (b" text/csv ; Q = 0.5 ", 0.5),
        (b"text/csv;q=0", 0),
        (b"text/csv;q=0.", 0),
        (b"text/csv;q=0.125", 0.125),
        (b"text/csv;q=1.000", 1),
        (b"text/csv;header=present;q=0.25", 0.25),
        (b"text/csv;q=0.25;extension=1", 0.25),
        # the most specific range counts, in any order
        (b"text/csv;q=0.1, text/*;q=0.2, */*;q=0.3", 0.1),
        (b"*/*;q=0.3, text/*;q=0.2, text/csv;q=0.1", 0.1),
        (b"*/*;q=0.3, text/*;q=0.2", 0.2),
        (b"text/html, */*;q=0.3", 0.3),
        (b"text/csv;q=0, */*", 0),
        (b"text/csv;q=0.5, text/csv;q=0.7", 0.5),
        # an invalid weight counts as none
        (b"text/csv;q=2", 1),
        (b"text/csv;q=-1", 1),
        (b"text/csv;q=0.1234", 1),
        (b"text/csv;q=", 1),
        (b"text/csv;q=1.5", 1),
        (b"text/csv;q=nan", 1),
        (b"text/csv;quality=0", 1),
        (b",,;q=1,text/csv;q=0.4,", 0.4),
        (b"\xff\xfe", 0),
        (b"text", 0),
        (b"*", 0),
    ],
)
def test_the_most_specific_range_gives_the_quality(accept: bytes, wanted: float) -> None:
    assert quality(accept, b"text/csv") == wanted


@pytest.mark.parametrize(
    ("accept", "preferred"),
    [
        (b"text/event-stream", True),
        (b"Text/Event-Stream", True),
        (b"text/event-stream, */*;q=0.1", True),
        (b"text/event-stream;q=0.2, text/csv;q=0.1", True),
        (b"text/event-stream;q=0.2, text/csv;q=0.2", False),
        (b"text/event-stream, text/csv", False),
        (b"text/event-stream, */*", False),
        (b"text/event-stream;q=0", False),
        (b"text/event-stream;q=0, */*", False),
        (b"text/csv", False),
        (b"*/*", False),
        # a client that doesn't name events gets none
        (b"text/*, text/csv;q=0.1", False),
        (b"*/*, text/csv;q=0", False),
        (b"text/event-streams", False),
        (b"", False),
    ],
)
def test_events_are_preferred_where_they_are_named_and_wanted_more(
    accept: bytes, preferred: bool
) -> None:
    assert prefers_events(accept, b"text/csv") is preferred


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, None),
        (b"", None),
        (b"gzip", "gzip"),
        (b"gzip, br", "br"),
        (b"GZIP;Q=0.9, br;q=0.1", "gzip"),
        (b"br;q=0, gzip", "gzip"),
        (b"*", "br"),
        (b"*;q=0.5, gzip", "gzip"),
        (b"*;q=0", None),
        (b"identity", None),
        (b"identity;q=0.5, gzip;q=0.4", None),
        (b"identity;q=0, gzip;q=0.1", "gzip"),
        (b"deflate", None),
        (b"gzip;q=nonsense", "gzip"),
    ],
)
def test_the_client_chooses_a_coding(accept: bytes | None, chosen: str | None) -> None:
    headers = [(b"host", b"x")] if accept is None else [(b"accept-encoding", accept)]
    assert preferred_coding(headers, ("br", "gzip")) == chosen


def test_no_coding_is_chosen_where_none_is_offered() -> None:
    assert preferred_coding([(b"accept-encoding", b"gzip")], ()) is None


@pytest.mark.parametrize("unit", [b",", b";", b"a;q=0.5,", b";q="])
@pytest.mark.parametrize("lines", [1, 10, 10_000])
def test_the_work_for_a_header_is_bounded(unit: bytes, lines: int) -> None:
    value = b"text/event-stream," + unit * (1_000_000 // lines // len(unit))
    headers = [(name, value) for name in (b"accept", b"accept-encoding") for _ in range(lines)]
    with Steps() as steps:
        accept = accept_of(headers)
        assert accept is not None
        assert prefers_events(accept, b"text/csv")
        assert preferred_coding(headers, ["gzip"]) is None
    assert len(accept) <= len(value) + 2 * LONGEST_HEADER
    assert steps.count < 100_000 + 10 * len(accept)


def test_two_accept_encodings_are_one() -> None:
    headers = [(b"accept-encoding", b"deflate"), (b"accept-encoding", b"gzip")]
    assert preferred_coding(headers, ("gzip",)) == "gzip"


# The id of the last event

LONGEST = "ü" * (LONGEST_EVENT_ID // 2)


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (None, ""),
        (b"", ""),
        (b"17", "17"),
        ("ü€日😀\u2028".encode(), "ü€日😀\u2028"),
        (b"\xfc", "ü"),  # as `fetch` sends it
        (b"a\xff\xc3", "aÿÃ"),
        (b"a\nb", ""),
        (b"a\rb", ""),
        (b"a\0", ""),
        (b"\x1b[31m", "\x1b[31m"),
        (LONGEST.encode(), LONGEST),
        (LONGEST.encode() + b"x", ""),
        (b"1" * 1_000_000, ""),
    ],
)
def test_the_last_event_id_is_what_the_event_had(sent: bytes | None, found: str) -> None:
    headers = [(b"accept", b"*/*")] + ([] if sent is None else [(b"last-event-id", sent)])
    assert last_event_id(headers) == found
    query = b"" if sent is None else b"a=1&last_event_id=" + quote_from_bytes(sent).encode()
    assert last_event_id([], query) == found


@pytest.mark.parametrize(
    ("headers", "query", "found"),
    [
        ([b"1", b"2"], b"", "1"),
        ([b"1"], b"last_event_id=2", "1"),
        ([b""], b"last_event_id=2", "2"),
        ([b"a\n"], b"last_event_id=2", "2"),
        ([], b"last_event_id=2&last_event_id=3", "2"),
        ([], b"last_event_id=&a", ""),
        ([], b"last_event_id", ""),
        ([], b"Last_Event_Id=2", ""),
        ([], b"last%5Fevent_id=a+b%20c", "a b c"),
        ([], b"last_event_id=%C3%BC;a=1", "ü;a=1"),
        ([], b"last_event_id=\xc3\xbc", "ü"),
        ([], b"last_event_id=%zz%", "%zz%"),
        ([], b"&&&=&%00=1&last_event_id=%EF%BB%BF1", "\ufeff1"),
    ],
)
def test_the_header_comes_before_the_query(headers: Any, query: bytes, found: str) -> None:
    assert last_event_id([(b"last-event-id", one) for one in headers], query) == found
