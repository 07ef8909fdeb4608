"""The decoder compared with the standard's text, and the bound on the size of one event.

hypothesis compares it with a reference that is written down from the WHATWG HTML standard, 9.2.6,
without chunks and without speed. Single cases are in the table of test_roundtrip.
"""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sse_middleware.errors import EventTooLargeError
from sse_middleware.wire.decoding import (
    DEFAULT_MAX_EVENT_SIZE,
    Comment,
    Decoded,
    EventStreamDecoder,
    MessageEvent,
    ReconnectionTime,
)
from tests.wire.chunks import LENGTHS, cut, decode, every_cut, message, thoroughly

BOM = b"\xef\xbb\xbf"


def test_the_decoder_remembers_the_last_id_of_a_complete_event() -> None:
    decoder = EventStreamDecoder(last_event_id="6")
    assert decoder.feed(b"data: a\n\nid: 7\n") == [message("a", id_="6")]
    assert decoder.last_event_id == "6"  # the event of the new id may never be complete
    assert decoder.feed(b"\n") == []
    assert decoder.last_event_id == "7"


# The bound on the size of one event


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(b"data: 1234\n\n", id="one line"),
        pytest.param(b"d\nd\nd\r\nd\rd\nd\nd\nd\nd\nd\n\n", id="many lines"),
        pytest.param(b"event: abc\n\n", id="without data"),
        pytest.param(b"unknown: a\n\n", id="of an unknown field"),
        pytest.param(b"id: 1\ndata:\n\n", id="of several fields"),
        pytest.param("data:é\ne:é\n".encode(), id="of bytes, not characters"),
        pytest.param("\U0001f600\U0001f600\u00e9\n".encode(), id="of four bytes each"),
        pytest.param(b"unfinished", id="without the end of a line"),
        pytest.param(b": 12345678\n", id="a single comment"),
        pytest.param(b"retry: 123\n", id="retry"),
    ],
)
def test_the_lines_of_an_event_may_take_as_many_bytes_as_the_bound(event: bytes) -> None:
    size = len(event.translate(None, b"\r\n"))  # the ends of lines aren't counted
    for chunks in every_cut(event):
        decode(chunks, max_event_size=size)
        with pytest.raises(EventTooLargeError, match=f"max_event_size={size - 1}"):
            decode(chunks, max_event_size=size - 1)


def test_each_event_is_counted_on_its_own() -> None:
    stream = b"data: 1\n\nid: 123\n\n\r\r\ndata: 2\r\n\r\n" * 100
    assert len(decode([stream], max_event_size=7)) == 200
    assert len(decode([bytes([byte]) for byte in stream], max_event_size=7)) == 200


def test_a_stream_of_nothing_but_comments_never_grows_too_large() -> None:
    stream = b": ping\n:\n: \xc3\xa9\n" * 100
    assert len(decode([stream], max_event_size=6)) == 300
    assert len(decode([bytes([byte]) for byte in stream], max_event_size=6)) == 300


def test_comments_within_an_event_do_not_count_towards_it() -> None:
    stream = b"data: 1\n" + b": c\n" * 100 + b"data: 2\n\n"
    assert decode([stream], max_event_size=14)[-1] == message("1\n2")


def test_the_error_holds_what_was_complete_before() -> None:
    decoder = EventStreamDecoder(max_event_size=10)
    assert decoder.feed(b"data: 0\n\n") == [message("0")]
    with pytest.raises(EventTooLargeError) as caught:
        decoder.feed(b"data: 1\n\n: c\nretry: 5\n\ndata: 2\n\ndata: 12345\n\ndata: 3\n\n")
    assert caught.value.decoded == [
        message("1"),
        Comment("c"),
        ReconnectionTime(5),
        message("2"),
    ]
    assert caught.value.max_event_size == 10


def test_the_bound_is_one_mebibyte_by_default() -> None:
    assert DEFAULT_MAX_EVENT_SIZE == 1024 * 1024
    event = b"data:" + b"x" * (1024 * 1024 - 5)
    assert len(decode([event + b"\n\n"])) == 1
    with pytest.raises(EventTooLargeError):
        decode([event, b"x"])


# Any stream


def reference(
    stream: bytes, max_event_size: int = DEFAULT_MAX_EVENT_SIZE
) -> tuple[list[Decoded], str, bool]:
    """Interpret a whole event stream, sentence by sentence as 9.2.6 says it.

    Returns what it means, the last event id, and whether an event was over the bound, which is
    ours: the standard has none. What is counted is text in UTF-8, so an invalid byte counts as the
    U+FFFD that it becomes.
    """
    found: list[Decoded] = []
    data = event_type = last_event_id_buffer = last_event_id = ""
    size = 0
    text = stream.removeprefix(BOM).decode("utf-8", "replace")
    *lines, unfinished = re.split("\r\n|\r|\n", text)
    for line in lines:
        size += len(line.encode())
        if size > max_event_size:
            return found, last_event_id, True
        if line == "":
            last_event_id = last_event_id_buffer
            if data != "":
                data = data[:-1] if data[-1] == "\n" else data
                found.append(MessageEvent(data, event_type or "message", last_event_id))
            data = event_type = ""
            size = 0
            continue
        if line[0] == ":":
            size -= len(line.encode())
            found.append(Comment(line[2:] if line[1:2] == " " else line[1:]))
            continue
        colon = line.find(":")
        field, value = (line[:colon], line[colon + 1 :]) if colon >= 0 else (line, "")
        if value[:1] == " ":
            value = value[1:]
        if field == "event":
            event_type = value
        elif field == "data":
            data += value + "\n"
        elif field == "id" and "\0" not in value:
            last_event_id_buffer = value
        elif field == "retry" and re.fullmatch("[0-9]+", value):
            found.append(ReconnectionTime(int(value)))
    return found, last_event_id, size + len(unfinished.encode()) > max_event_size


PIECES = (
    b"\r|\n|\r\n|\n\n|\r\r|:| |: |\0|0|17|+|\t|\v|data|event|id|retry|d|a|t|i|data: |id:|retry:|"
    b"data: a\n\n|id: 1\n|\xef\xbb\xbf|\xef|\xbb|\xbf|\xe2\x80\xa8|\xc2\x85|\xd9\xa5|"
    b"\xf0\x9f\x98\x80|\xff|\xc3|\xf0\x9f|\xed\xa0\x80"
).split(b"|")
STREAMS = st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join)


@thoroughly
@given(STREAMS, LENGTHS)
@example(b"data: 1\r\n\n", [8, 1])
def test_the_decoder_means_what_the_standard_says(stream: bytes, lengths: list[int]) -> None:
    decoder = EventStreamDecoder()
    found = [meaning for chunk in cut(stream, lengths) for meaning in decoder.feed(chunk)]
    expected, last_event_id, _ = reference(stream)
    assert (found, decoder.last_event_id) == (expected, last_event_id)


@thoroughly
@given(STREAMS | st.binary(max_size=60), LENGTHS)
def test_arbitrary_bytes_mean_the_same_in_any_chunks(stream: bytes, lengths: list[int]) -> None:
    assert decode(cut(stream, lengths)) == decode([stream])


# The last newline is there because the decoder can't count a character that is still to come.
@thoroughly
@given(STREAMS.map(lambda stream: stream + b"\n"), LENGTHS, st.integers(0, 30))
def test_the_bound_stops_at_the_same_event_in_any_chunks(
    stream: bytes, lengths: list[int], bound: int
) -> None:
    decoder = EventStreamDecoder(max_event_size=bound)
    found: list[object] = []
    stopped = False
    try:
        for chunk in cut(stream, lengths):
            found += decoder.feed(chunk)
    except EventTooLargeError as error:
        found += error.decoded
        stopped = True
    expected, _, too_large = reference(stream, bound)
    assert (found, stopped) == (expected, too_large)
