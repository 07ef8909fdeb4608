"""A table of streams, and what a client reads in them.

The cases follow the WHATWG HTML standard, 9.2.5 and 9.2.6. Many are those of the eventsource
directory of web-platform-tests.
"""

import sys
from typing import NamedTuple, TypedDict

from sse_middleware.wire.decoding import (
    Comment,
    Decoded,
    EventStreamDecoder,
    MessageEvent,
    ReconnectionTime,
)
from tests.wire.chunks import message

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
    Case("a comment is not an event", b": hi\n\n", [Comment("hi")], {"comment": "hi"}),
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
    Case("half a BOM is not a BOM", b"\xef\xbbdata: 1\n\ndata: 2\n\n", [message("2")]),
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


class ClientCase(TypedDict):
    """A case for a client in another language, with what an `EventSource` shows of it."""

    shows: str
    wire: str
    """A character for each byte."""
    events: list[tuple[str, str, str]]
    """The type, the data and the last event id of each."""
    last_event_id: str
    retry: int | None


def cases_for_clients() -> list[ClientCase]:
    """Return the table for a client in another language."""
    return [_for_clients(case) for case in BOTH_WAYS + READ_ONLY]


def _for_clients(case: Case) -> ClientCase:
    decoder = EventStreamDecoder()
    assert decoder.feed(case.wire) == case.decoded
    times = [one.milliseconds for one in case.decoded if isinstance(one, ReconnectionTime)]
    return {
        "shows": case.shows,
        "wire": case.wire.decode("latin-1"),
        "events": [
            (one.type, one.data, one.last_event_id)
            for one in case.decoded
            if isinstance(one, MessageEvent)
        ],
        "last_event_id": decoder.last_event_id,
        "retry": times[-1] if times else None,
    }
