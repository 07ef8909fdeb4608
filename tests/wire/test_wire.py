"""One table of streams tests both directions, in every way to cut them into chunks.

The cases follow the WHATWG HTML standard, 9.2.5 and 9.2.6; many are those of the eventsource
directory of web-platform-tests. Below the table, hypothesis compares the decoder with a reference
that is written down from the standard's text, without chunks and without speed.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypedDict, Unpack

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sse_middleware.errors import EventTooLargeError, FieldError
from sse_middleware.wire.decoding import (
    DEFAULT_MAX_EVENT_SIZE,
    Comment,
    Decoded,
    EventStreamDecoder,
    MessageEvent,
    ReconnectionTime,
)
from sse_middleware.wire.encoding import encode_event, format_sse_event

BOM = b"\xef\xbb\xbf"


class Fields(TypedDict, total=False):
    data_str: str | None
    event: str | None
    id: str | None
    retry: int | None
    comment: str | None


class Case(NamedTuple):
    shows: str
    wire: bytes
    decoded: list[Decoded]
    fields: Fields | None = None
    """What is written as `wire`; ``None`` where we would never write it like that."""


def message(data: str, type_: str = "message", id_: str = "") -> MessageEvent:
    return MessageEvent(data, type_, id_)


BOTH_WAYS = [
    Case("data", b"data: 1\n\n", [message("1")], {"data_str": "1"}),
    Case("no field", b"\n\n", [], {}),
    Case(
        "every field, in the order comment, event, data, id, retry",
        b": hi\nevent: m\ndata: {}\nid: 17\nretry: 3000\n\n",
        [Comment("hi"), ReconnectionTime(3000), message("{}", "m", "17")],
        {"retry": 3000, "id": "17", "data_str": "{}", "event": "m", "comment": "hi"},
    ),
    Case("empty data is dispatched", b"data: \n\n", [message("")], {"data_str": ""}),
    Case(
        "a trailing empty line of data is kept",
        b"data: Hello\ndata: \n\n",
        [message("Hello\n")],
        {"data_str": "Hello\n"},
    ),
    Case(
        "data of nothing but newlines",
        b"data: \ndata: \ndata: \n\n",
        [message("\n\n")],
        {"data_str": "\r\n\r"},
    ),
    Case(
        "CRLF, CR and LF in data each make one new line",
        b"data: a\ndata: b\ndata: c\ndata: d\ndata: \ndata: e\n\n",
        [message("a\nb\nc\nd\n\ne")],
        {"data_str": "a\r\nb\rc\nd\n\re"},
    ),
    Case(
        "nothing else does, in data",
        "data: a\vb\fc\x1cd\x1de\x1ef\x85g\u2028h\u2029i\n\n".encode(),
        [message("a\vb\fc\x1cd\x1de\x1ef\x85g\u2028h\u2029i")],
        {"data_str": "a\vb\fc\x1cd\x1de\x1ef\x85g\u2028h\u2029i"},
    ),
    Case(
        "nor in an event's name and id",
        "event: a\v\f\x85\u2028b\ndata: \nid: c\v\f\x85\u2028d\n\n".encode(),
        [message("", "a\v\f\x85\u2028b", "c\v\f\x85\u2028d")],
        {"data_str": "", "event": "a\v\f\x85\u2028b", "id": "c\v\f\x85\u2028d"},
    ),
    Case(
        "data that looks like fields stays data",
        b"data: id: 1\ndata: \ndata: : ping\n\n",
        [message("id: 1\n\n: ping")],
        {"data_str": "id: 1\n\n: ping"},
    ),
    Case(
        "leading and trailing spaces are kept",
        b":  c \nevent:  m \ndata:  1 \nid:  i \n\n",
        [Comment(" c "), message(" 1 ", " m ", " i ")],
        {"data_str": " 1 ", "event": " m ", "id": " i ", "comment": " c "},
    ),
    Case(
        "UTF-8, of one to four bytes",
        "event: ü\ndata: a\u00e9\u2026\U0001f600\nid: \u65e5\n\n".encode(),
        [message("a\u00e9\u2026\U0001f600", "\u00fc", "\u65e5")],
        {"data_str": "a\u00e9\u2026\U0001f600", "event": "\u00fc", "id": "\u65e5"},
    ),
    Case(
        "a BOM within data is data",
        b"data: " + BOM + b"1\n\n",
        [message("\ufeff1")],
        {"data_str": "\ufeff1"},
    ),
    Case("NUL in data is data", b"data: \0\n\n", [message("\0")], {"data_str": "\0"}),
    Case("a comment is no event", b": hi\n\n", [Comment("hi")], {"comment": "hi"}),
    Case(
        "a comment of many lines",
        b": a\n: b\n: c\n: d\n: \n\n",
        [Comment(text) for text in ("a", "b", "c", "d", "")],
        {"comment": "a\r\nb\rc\nd\n"},
    ),
    Case("an event without data is not dispatched", b"event: m\n\n", [], {"event": "m"}),
    Case(
        "an empty event name means message",
        b"event: \ndata: 1\n\n",
        [message("1")],
        {"data_str": "1", "event": ""},
    ),
    Case("retry: 0", b"retry: 0\n\n", [ReconnectionTime(0)], {"retry": 0}),
    Case("an id alone is not dispatched", b"id: 1\n\n", [], {"id": "1"}),
]


READ_ONLY = [
    Case("nothing", b"", []),
    Case("no space after the colon", b"data:1\n\n", [message("1")]),
    Case("only one space is removed", b"data:  1\n\n", [message(" 1")]),
    Case("a tab is not removed", b"data:\t1\rdata: \ndata:1\n\n", [message("\t1\n\n1")]),
    Case("a value may hold colons", b"data::1:2\n\n", [message(":1:2")]),
    Case("a field without colon is empty", b"data\n\n", [message("")]),
    Case(
        "empty data lines",
        b"data:\n\ndata\ndata\n\ndata:test\n\n",
        [message(""), message("\n"), message("test")],
    ),
    # The end of a line
    Case("LF ends a line", b"data: 1\ndata: 2\n\n", [message("1\n2")]),
    Case("CR ends a line", b"data: 1\rdata: 2\r\r", [message("1\n2")]),
    Case("CRLF ends one line", b"data: 1\r\ndata: 2\r\n\r\n", [message("1\n2")]),
    Case("mixed", b"data:test\r\ndata\ndata:test\r\n\r", [message("test\n\ntest")]),
    Case("CRLF, then LF", b"data: 1\r\n\ndata: 2\n\n", [message("1"), message("2")]),
    Case("CRLF, then CR", b"data: 1\r\n\rdata: 2\n\n", [message("1"), message("2")]),
    Case("CR, then CRLF", b"data: 1\r\r\ndata: 2\n\n", [message("1"), message("2")]),
    Case("LF, then CR", b"data: 1\n\rdata: 2\n\n", [message("1"), message("2")]),
    Case("LF, then CRLF", b"data: 1\n\r\ndata: 2\n\n", [message("1"), message("2")]),
    Case(
        "each empty line dispatches, but only once",
        b"data: 1\r\n\n\r\r\n\r\n\n\ndata: 2\r\n\ndata: 3\r\n\r\n\n\n",
        [message("1"), message("2"), message("3")],
    ),
    Case(
        "a CR is not an LF that is still to come",
        b"data: 1\r\rdata: 2\n\n",
        [message("1"), message("2")],
    ),
    Case(
        "a multi-byte character after CR",
        "data: 1\r\u00e9\rdata: 2\n\n".encode(),
        [message("1\n2")],
    ),
    # The byte order mark
    Case("one BOM at the start is dropped", BOM + b"data: 1\n\n", [message("1")]),
    Case("a second one is not", BOM + BOM + b"data:1\n\ndata:2\n\n", [message("2")]),
    Case(
        "nor one at the start of a later line",
        BOM + b"data:1\n\n" + BOM + b"data:2\n\ndata:3\n\n",
        [message("1"), message("3")],
    ),
    Case("half a BOM is no BOM", b"\xef\xbbdata: 1\n\ndata: 2\n\n", [message("2")]),
    Case("a BOM alone", BOM, []),
    Case("a BOM before an empty line", BOM + b"\ndata: 1\n\n", [message("1")]),
    # Invalid UTF-8: each maximal part becomes one U+FFFD
    Case("a byte that never occurs", b"data: a\xffb\n\n", [message("a\ufffdb")]),
    Case("a lone continuation", b"data: a\x80\x80b\n\n", [message("a\ufffd\ufffdb")]),
    Case("a sequence that a newline cuts off", b"data: \xf0\x9f\x98\n\n", [message("\ufffd")]),
    Case("an overlong form", b"data: \xc0\x8a\n\n", [message("\ufffd\ufffd")]),
    Case("a surrogate", b"data: \xed\xa0\x80\n\n", [message("\ufffd\ufffd\ufffd")]),
    Case("beyond U+10FFFF", b"data: \xf4\x90\x80\x80\n\n", [message("\ufffd" * 4)]),
    Case("in a field's name", b"da\xffta: 1\ndata: 2\n\n", [message("2")]),
    # Comments and fields that mean nothing
    Case(
        "comments between the fields",
        b"data:1\r:\0\n:\r\ndata:2\n:long\rdata:3\n:data:fail\r:long\ndata:4\n\n",
        [
            Comment("\0"),
            Comment(""),
            Comment("long"),
            Comment("data:fail"),
            Comment("long"),
            message("1\n2\n3\n4"),
        ],
    ),
    Case("a comment needs no empty line", b": 1\n:2\n", [Comment("1"), Comment("2")]),
    Case(
        "unknown fields",
        b"data:test\n data\ndata\nfoobar:xxx\njustsometext\n:comment\ndata:test\n\n",
        [Comment("comment"), message("test\n\ntest")],
    ),
    Case(
        "names are compared exactly",
        b"data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\n"
        b"data:3\rdata:\r\n data:32\ndata :5\ndata:4\n\n",
        [message("\0\n 2\n1\n3\n\n4")],
    ),
    Case(
        "unknown fields make no event",
        b"data:msg\ndata: msg\n\n:\nfalse:msg\n\nfalse:msg\nData:data\n\ndata\n\ndata:end\n\n",
        [message("msg\nmsg"), Comment(""), message(""), message("end")],
    ),
    # event
    Case(
        "the type is reset by an event",
        b"event: a\ndata: 1\n\ndata: 2\n\n",
        [message("1", "a"), message("2")],
    ),
    Case("and by one without data", b"event: a\n\ndata: 1\n\n", [message("1")]),
    Case("the last type wins", b"event: a\nevent: b\ndata: 1\n\n", [message("1", "b")]),
    Case("an empty one too", b"event: a\nevent\ndata: 1\n\n", [message("1")]),
    Case("a type may hold NUL", b"event: \0\ndata: 1\n\n", [message("1", "\0")]),
    # id
    Case(
        "an id lasts",
        b"id: 1\ndata: a\n\ndata: b\n\n",
        [message("a", id_="1"), message("b", id_="1")],
    ),
    Case(
        "an empty id resets it",
        b"id: 1\ndata: a\n\nid\ndata: b\n\ndata: c\n\n",
        [message("a", id_="1"), message("b"), message("c")],
    ),
    Case(
        "an event without data sets it, and does not last itself",
        b"id: 1\nevent: m\n\ndata: a\n\n",
        [message("a", id_="1")],
    ),
    Case("an id after the data counts", b"data: a\nid: 1\n\n", [message("a", id_="1")]),
    Case("the last id wins", b"id: 1\nid: 2\ndata: a\n\n", [message("a", id_="2")]),
    *[
        Case(
            f"an id with NUL is ignored: {value!r}",
            b"id: 1\nid:" + value + b"\ndata: a\n\n",
            [message("a", id_="1")],
        )
        for value in (b"\0", b"x\0", b"\0x", b"x\0x", b" \0")
    ],
    # retry
    Case("retry counts before the event is complete", b"retry: 5\n", [ReconnectionTime(5)]),
    Case("leading zeros", b"retry: 0010\n", [ReconnectionTime(10)]),
    Case("nothing but zeros", b"retry: " + b"0" * 30 + b"\n", [ReconnectionTime(0)]),
    Case("18 digits", b"retry: " + b"9" * 18 + b"\n", [ReconnectionTime(10**18 - 1)]),
    *[
        Case(
            f"{digits} digits mean for ever",
            b"retry: " + b"9" * digits + b"\n",
            [ReconnectionTime(sys.maxsize)],
        )
        for digits in (19, 5000)
    ],
    *[
        Case(f"no retry: {line!r}", line.encode() + b"\ndata: 1\n\n", [message("1")])
        for line in (
            "retry",
            "retry:",
            "retry: ",
            "retry:  5",
            "retry:5 ",
            "retry:+5",
            "retry:-5",
            "retry:1_000",
            "retry:1000x",
            "retry:1.5",
            "retry:0x10",
            "retry:5\0",
            "retry:\u0665",
            "retry:\u00b2",
            "retry:\uff15",
        )
    ],
    # What is never dispatched
    Case("an event without its empty line", b"data: 1\n\ndata: 2\n", [message("1")]),
    Case(
        "its id does not count either",
        b"retry:1\ndata: 1\n\nid: 2\ndata: 2",
        [ReconnectionTime(1), message("1")],
    ),
    Case("a line without its end", b"retry: 5", []),
    Case("a comment without its end", b": 5", []),
    Case("a character without its end", b"data: 1\n\ndata: \xe2\x80", [message("1")]),
]

CASES = [pytest.param(case, id=case.shows) for case in BOTH_WAYS + READ_ONLY]
WRITTEN = [pytest.param(case, id=case.shows) for case in BOTH_WAYS]


def every_cut(wire: bytes) -> Iterator[list[bytes]]:
    """Whole, byte by byte, byte by byte with nothing between, and at every split into two."""
    bytewise = [wire[at : at + 1] for at in range(len(wire))]
    yield [wire]
    yield bytewise
    yield [chunk for byte in bytewise for chunk in (b"", byte)]
    for at in range(len(wire) + 1):
        yield [wire[:at], wire[at:]]


def decode(chunks: Iterable[bytes], **options: Any) -> list[Decoded]:
    decoder = EventStreamDecoder(**options)
    return [found for chunk in chunks for found in decoder.feed(chunk)]


@pytest.mark.parametrize("case", WRITTEN)
def test_fields_are_written_as_these_bytes(case: Case) -> None:
    assert case.fields is not None
    assert format_sse_event(**case.fields) == case.wire


@pytest.mark.parametrize("case", CASES)
def test_these_bytes_are_read_as(case: Case) -> None:
    for chunks in every_cut(case.wire):
        assert decode(chunks) == case.decoded, chunks


def test_data_that_is_already_utf8_is_written_like_text() -> None:
    written = encode_event("\u00e9\r\n1\r2".encode(), event="m", id="7", retry=1, comment="c")
    assert written == b": c\nevent: m\ndata: \xc3\xa9\ndata: 1\ndata: 2\nid: 7\nretry: 1\n\n"


def test_the_decoder_remembers_the_last_id_as_a_reconnecting_client_does() -> None:
    decoder = EventStreamDecoder(last_event_id="6")
    assert decoder.feed(b"data: a\n\nid: 7\n") == [message("a", id_="6")]
    assert decoder.last_event_id == "6"  # the event of the new id may never be complete
    assert decoder.feed(b"\n") == []
    assert decoder.last_event_id == "7"


# What can't be written


@pytest.mark.parametrize("field", ["event", "id"])
@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\r\nb", "a\0b", "\n", "b\n"])
def test_a_newline_or_nul_in_a_single_line_is_refused(field: str, value: str) -> None:
    fields: Any = {field: value}
    with pytest.raises(FieldError, match=f"^{field} .*{re.escape(repr(value))}$"):
        format_sse_event(data_str="", **fields)


@pytest.mark.parametrize("value", [-1, -(10**30), True, False, 1.0, 1.5, "5", b"5"])
def test_a_retry_that_is_no_count_of_milliseconds_is_refused(value: Any) -> None:
    with pytest.raises(FieldError, match=f"^retry .*{re.escape(repr(value))}$"):
        format_sse_event(retry=value)


@pytest.mark.parametrize("field", ["data_str", "event", "id", "comment"])
@pytest.mark.parametrize("value", ["\ud800", "a\udfff"])
def test_a_lone_surrogate_is_refused(field: str, value: str) -> None:
    fields: Any = {field: value}
    name = field.removesuffix("_str")  # as the standard calls it
    with pytest.raises(FieldError, match=f"^{name} .*{re.escape(ascii(value[-1]))}"):
        format_sse_event(**fields)


@pytest.mark.parametrize("field", ["data_str", "event", "id", "comment"])
@pytest.mark.parametrize("value", [5, b"x", ["x"], True])
def test_what_is_no_text_is_refused(field: str, value: Any) -> None:
    fields: Any = {field: value}
    name = field.removesuffix("_str")
    with pytest.raises(FieldError, match=f"^{name} must be a str, got {re.escape(repr(value))}$"):
        format_sse_event(**fields)


# The bound on the size of one event


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(b"data: 1234\n\n", id="one line"),
        pytest.param(b"d\nd\nd\r\nd\rd\nd\nd\nd\nd\nd\n\n", id="many lines"),
        pytest.param(b"event: abc\n\n", id="without data"),
        pytest.param(b"unknown: a\n\n", id="of no meaning"),
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


def test_what_was_completed_before_is_in_the_error() -> None:
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


def test_the_bound_is_one_mebibyte_unless_told_otherwise() -> None:
    assert DEFAULT_MAX_EVENT_SIZE == 1024 * 1024
    event = b"data:" + b"x" * (1024 * 1024 - 5)
    assert len(decode([event + b"\n\n"])) == 1
    with pytest.raises(EventTooLargeError):
        decode([event, b"x"])


# Properties


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


def cut(wire: bytes, lengths: Iterable[int]) -> Iterator[bytes]:
    """Chunks of these lengths, then the rest."""
    for length in lengths:
        yield wire[:length]
        wire = wire[length:]
    yield wire


LENGTHS = st.lists(st.integers(0, 6), max_size=40)

PIECES = (
    b"\r|\n|\r\n|\n\n|\r\r|:| |: |\0|0|17|+|\t|\v|data|event|id|retry|d|a|t|i|data: |id:|retry:|"
    b"data: a\n\n|id: 1\n|\xef\xbb\xbf|\xef|\xbb|\xbf|\xe2\x80\xa8|\xc2\x85|\xd9\xa5|"
    b"\xf0\x9f\x98\x80|\xff|\xc3|\xf0\x9f|\xed\xa0\x80"
).split(b"|")
STREAMS = st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join)

# As many as a second or two allow. A slow machine is not a failure.
thoroughly = settings(max_examples=400, deadline=None)


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
def test_the_bound_strikes_at_the_same_event_in_any_chunks(
    stream: bytes, lengths: list[int], bound: int
) -> None:
    decoder = EventStreamDecoder(max_event_size=bound)
    found: list[object] = []
    struck = False
    try:
        for chunk in cut(stream, lengths):
            found += decoder.feed(chunk)
    except EventTooLargeError as error:
        found += error.decoded
        struck = True
    expected, _, too_large = reference(stream, bound)
    assert (found, struck) == (expected, too_large)


TEXT = st.text(st.characters(codec="utf-8") | st.sampled_from("\r\n:\0 \ufeff\u2028\x85"))
SINGLE_LINE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"))
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "data_str": st.none() | TEXT,
        "event": st.none() | SINGLE_LINE,
        "id": st.none() | SINGLE_LINE,
        "retry": st.none() | st.integers(0, 10**18 - 1),
        "comment": st.none() | TEXT,
    },
)


def meant(last_event_id: str, **fields: Unpack[Fields]) -> tuple[list[Decoded], str]:
    """What a client should make of an event, and the last id after it."""
    found: list[Decoded] = []
    comment, data = (normalised(fields.get(name)) for name in ("comment", "data_str"))
    id_, retry = fields.get("id"), fields.get("retry")
    if comment is not None:
        found += [Comment(line) for line in comment.split("\n")]
    if retry is not None:
        found.append(ReconnectionTime(retry))
    last_event_id = last_event_id if id_ is None else id_
    if data is not None:
        found.append(MessageEvent(data, fields.get("event") or "message", last_event_id))
    return found, last_event_id


def normalised(text: Any) -> str | None:
    return None if text is None else re.sub("\r\n|\r", "\n", text)


@thoroughly
@given(st.lists(FIELDS, max_size=4), LENGTHS)
def test_what_is_written_is_read_again(events: list[Any], lengths: list[int]) -> None:
    wire = b"".join(format_sse_event(**fields) for fields in events)
    expected: list[Decoded] = []
    last_event_id = ""
    for fields in events:
        found, last_event_id = meant(last_event_id, **fields)
        expected += found
    assert decode(cut(wire, lengths)) == expected
