"""What is printed of the bytes of a stream, cut anywhere."""

from datetime import UTC, datetime

from sse_middleware.cli.tail.ending import Ending
from sse_middleware.cli.tail.follow import Follow, Policy, State
from sse_middleware.cli.tail.formats import CopiedBytes, EventText
from sse_middleware.cli.tail.measures import Measures
from sse_middleware.cli.tail.reading import Reading, Wanted
from tests.wire.chunks import every_cut

TEXT = EventText(coloured=False)
RAW = CopiedBytes(on_terminal=False)

NOON = "12:00:00.000"


class Tail:
    """A reading with what it works with."""

    def __init__(self, wanted: Wanted, last_event_id: str = "") -> None:
        self.follow = Follow(Policy(), last_event_id)
        self.measures = Measures(0)
        at = datetime(2026, 11, 27, 12, tzinfo=UTC)
        self.reading = Reading(wanted, self.follow, self.measures, lambda: at)
        self.connect()

    def connect(self, now: float = 0) -> None:
        self.follow.answered(200, "text/event-stream")
        self.reading.connected(now)

    def read(self, *chunks: bytes, now: float = 1) -> str:
        found = [self.reading.feed(one, now) for one in chunks if self.follow.state is State.OPEN]
        return b"".join(found).decode().replace(NOON, "-")


STREAM = (
    b"\xef\xbb\xbf: hi\r\nid: 1\ndata: a\xc3\xa9\n\nevent: b\rdata:  c\rdata\r\rid: 2\n\ndata: cut"
)


def test_every_cut_prints_the_same() -> None:
    for chunks in every_cut(STREAM):
        tail = Tail(Wanted(TEXT))
        assert tail.read(*chunks) == "- #1 aé\n- b #1  c\n    \n"
        assert tail.follow.last_event_id == "2"  # an id without data
        assert (tail.measures.events, tail.measures.bytes) == (2, len(STREAM))


def test_every_cut_copies_the_same_bytes_and_stops_at_the_event() -> None:
    for chunks in every_cut(STREAM):
        assert Tail(Wanted(RAW)).read(*chunks).encode() == STREAM
        tail = Tail(Wanted(RAW, count=1))
        assert tail.read(*chunks).encode() == STREAM[: STREAM.index(b"event")]
        assert (tail.follow.state, tail.follow.ending) == (State.CLOSED, Ending.ENDED)


def test_nothing_after_the_last_wanted_event_is_printed() -> None:
    tail = Tail(Wanted(TEXT, count=2))
    assert tail.read(b"data: 1\n\ndata: 2\n\ndata: 3\n\n") == "- 1\n- 2\n"
    assert tail.follow.state is State.CLOSED


def test_only_events_of_the_wanted_names_are_printed_and_counted() -> None:
    tail = Tail(Wanted(TEXT, names=frozenset({"done", "message"}), count=2))
    wire = b"event: step\ndata: 1\n\ndata: 2\n\nevent: done\ndata: 3\n\nevent: done\ndata: 4\n\n"
    assert tail.read(wire) == "- 2\n- done 3\n"


def test_keep_alives_are_counted_since_the_last_event() -> None:
    tail = Tail(Wanted(TEXT))
    assert tail.read(b": ping\n\n", b"id: 7\n\n", b"id: 7\n\n", b": ping\n", now=3) == ""
    assert (tail.reading.silent_since, tail.reading.keep_alives) == (0, 3)
    tail.read(b"data: 1\n\n", now=4)
    assert (tail.reading.silent_since, tail.reading.keep_alives) == (4, 0)
    tail.read(b": ping\n", now=5)
    assert (tail.reading.keep_alives, tail.measures.keep_alives) == (1, 4)


def test_an_event_with_a_new_id_is_no_keep_alive() -> None:
    tail = Tail(Wanted(TEXT))
    tail.read(b"id: 1\ndata: 1\n\nid: 2\n\n")
    assert (tail.follow.last_event_id, tail.measures.keep_alives) == ("2", 0)


def test_the_last_id_of_the_stream_is_known() -> None:
    tail = Tail(Wanted(TEXT), "41")
    assert tail.read(b"data: 1\n\n") == "- #41 1\n"
    tail.read(b"id: 42\ndata: 2\n\nid: a\0b\ndata: 3\n\nid: unfinished")
    assert tail.follow.last_event_id == "42"
    tail.read(b"\n", b"id\n\n")
    assert tail.follow.last_event_id == ""


def test_a_new_connection_drops_the_unfinished_event_and_keeps_the_id() -> None:
    tail = Tail(Wanted(TEXT))
    tail.read(b"id: 5\ndata: 1\n\nid: 6\ndata: lost")
    tail.follow.lost()
    tail.connect(9)
    assert tail.read(b"data: 2\n\n") == "- #5 2\n"
    assert tail.measures.connections == 2


def test_an_event_begins_the_retries_anew_and_retry_is_heeded() -> None:
    tail = Tail(Wanted(TEXT))
    tail.follow.lost()
    tail.connect()
    assert tail.follow.retries == 1
    tail.read(b": hi\n\nretry: 100\n\n")
    assert tail.follow.retries == 1
    tail.read(b"data: 1\n\n")
    assert tail.follow.retries == 0
    tail.follow.lost()
    assert 0.075 <= tail.follow.delay <= 0.1


def test_an_event_that_is_too_large_ends_it_after_what_came_before() -> None:
    tail = Tail(Wanted(TEXT, max_event_size=20))
    assert tail.read(b"data: 1\n\ndata: " + b"x" * 30) == "- 1\n"
    assert (tail.follow.state, tail.follow.ending) == (State.CLOSED, Ending.BROKEN)
    assert tail.reading.problem == (
        "an event is larger than 20 bytes. --max-event-size allows more"
    )


def test_bad_bytes_are_replaced_and_what_the_output_cannot_show_is_escaped() -> None:
    assert Tail(Wanted(TEXT)).read(b"data: \xff\n\n") == "- \ufffd\n"
    assert Tail(Wanted(TEXT, "ascii")).read("data: é漢\n\n".encode()) == "- \\xe9\\u6f22\n"
