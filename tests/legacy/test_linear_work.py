"""The work of a conversion grows with its body and no faster, and each slice of it is short.

Steps are counted, not seconds. What is counted is in `steps`.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sse_middleware.errors import BodyError
from sse_middleware.legacy import BodyFormat
from sse_middleware.legacy.bodies.adapters import (
    AdapterFactory,
    Chunks,
    JSONDocument,
    JSONLines,
    JSONSequence,
    Lines,
)
from sse_middleware.legacy.bodies.conversion import Conversion, EventFields
from sse_middleware.legacy.bodies.foreign_stream import ForeignEventStream
from sse_middleware.legacy.bodies.transcoder import Transcoder
from tests.legacy.steps import Steps, work

BIG = 10**9
Body = Callable[[int], bytes]

TEXTS: dict[str, Body] = {
    "one line": lambda n: b"x" * n,
    "short lines": lambda n: b"1\n" * (n // 2),
    "blank lines": lambda n: b"\n" * n,
    "CR and LF": lambda n: b"\r\n\r" * (n // 3),
    "invalid text": lambda n: b"\xff" * n,
    "a CR in each line": lambda n: b"1\r" * (n // 2) + b"\n",
}
NUMBERS: dict[str, Body] = {
    "short elements": lambda n: b"[%b1]" % (b"1," * (n // 2)),
    "empty objects": lambda n: b"[%b1]" % (b"{}," * (n // 3)),
    "blanks and commas": lambda n: b"[%b1]" % (b"1  ,\t " * (n // 6)),
    "blanks": lambda n: b"[1,%b1]" % (b" " * n),
    "commas": lambda n: b"[%b]" % (b"," * n),
    "open arrays": lambda n: b"[" * n,
    "open objects": lambda n: b'{"a":' * (n // 5),
    "deep arrays": lambda n: b"[%b1]" % ((b"[" * 100 + b"]" * 100 + b",") * (n // 200)),
    "deep at the end": lambda n: b"[%b1]" % (b"[1,1,1,1,[1,1,[1,[[[[]]]]]]]," * (n // 29)),
    "deep objects": lambda n: b"[%b1]" % ((b'{"a":' * 60 + b"1" + b"}" * 60 + b",") * (n // 361)),
    "one string": lambda n: b'["%b"]' % (b"x" * n),
    "escapes": lambda n: b'["%b"]' % (rb"\u0041\n" * (n // 8)),
    "an open string": lambda n: b'["%b' % (b'\\"' * (n // 2)),
    "a long number": lambda n: b"[1.%b]" % (b"1" * n),
    "keys": lambda n: b"{%b1:1}" % (b'"a":1,' * (n // 6)),
}
RECORDS: dict[str, Body] = {
    "a record that never ends": lambda n: b"\x1e[\n" + b"[1]\n," * (n // 5),
    "no JSON": lambda n: b"\x1e[1]x\n" + b"[1]\n" * (n // 4),
    "separators": lambda n: b"\x1e" * n,
    "separators and newlines": lambda n: b"\x1e\n" * (n // 2),
    "short records": lambda n: b"\x1e1\n" * (n // 3),
    "short records without newlines": lambda n: b"\x1e1" * (n // 2),
    "no record": lambda n: b"[\n" * (n // 2),
    "newlines in a record": lambda n: b"\x1e[1" + b"\n" * n + b"]\n",
    "a string of newlines": lambda n: b'\x1e"' + b"\n" * n + b'"\n',
    "a record in lines": lambda n: b"\x1e" + b'{"a":\n' * 50 + b"[%b1]" % (b"1,\n" * (n // 3)),
    "CRLF": lambda n: b'\x1e{"a":1}\r\n' * (n // 10),
}
EVENTS: dict[str, Body] = {
    "one event": lambda n: b"data: %b\n\n" % (b"x" * n),
    "an event of many lines": lambda n: b"data\n" * (n // 5),
    "short events": lambda n: b"x\n\n" * (n // 3),
    "blank lines": lambda n: b"\n" * n,
    "CRs": lambda n: b"x\r\r" * (n // 3),
    "comments": lambda n: b":\n" * (n // 2),
    "a long comment": lambda n: b":" * n,
    "mixed": lambda n: b"x\r\n\r:\n\nid\r\r\n" * (n // 14),
}

CASES: list[Any] = [
    *((factory, TEXTS[name], {}, name) for factory in (Lines, JSONLines, Chunks) for name in TEXTS),
    *((JSONDocument, NUMBERS[name], {}, name) for name in NUMBERS),
    *((JSONSequence, RECORDS[name], {}, name) for name in RECORDS),
    *((JSONSequence, NUMBERS[name], {}, name) for name in NUMBERS),
    *((JSONLines, NUMBERS[name], {"id": "{json[9999999]}{line}"}, name) for name in NUMBERS),
    *((ForeignEventStream, EVENTS[name], {}, name) for name in EVENTS),
]
SIZE = 3_000
FIELDS = EventFields(malformed="skip")


def chunks_of(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


def slices(
    factory: AdapterFactory, chunks: list[bytes], form: BodyFormat, fields: EventFields
) -> Iterator[tuple[bytes, int]]:
    conversion = Conversion(factory, form, fields, "GET /")
    yield from itertools.chain.from_iterable(map(conversion.feed, chunks))
    yield from conversion.end()


def title(value: Any) -> str | None:
    return value if isinstance(value, str) else getattr(value, "__name__", "")


@pytest.mark.parametrize(("factory", "body", "options", "name"), CASES, ids=title)
def test_twice_the_body_is_twice_the_work(
    factory: AdapterFactory, body: Body, options: dict[str, Any], name: str
) -> None:
    form = BodyFormat(max_piece=BIG, max_event_size=BIG)
    fields = EventFields(malformed="skip", **options)
    small, large = (work(slices(factory, [body(n)], form, fields)) for n in (SIZE, 4 * SIZE))
    assert large[0] < 6 * small[0]
    assert max(small[1], large[1]) < 300_000
    bodies = [chunks_of(body(n), 1) for n in (SIZE // 6, 4 * SIZE // 6)]
    small, large = (work(slices(factory, chunks, form, fields)) for chunks in bodies)
    assert large[0] < 6 * small[0]


CHARSETS = [
    *("utf-8", "utf-8-sig", "utf-7", "utf-16", "utf-16-le", "utf-32", "ascii", "latin-1", "cp1252"),
    *("gb18030", "shift_jis", "euc_jp", "iso2022_jp", "iso2022_kr", "hz", "big5"),
]


@pytest.mark.parametrize("charset", CHARSETS)
@pytest.mark.parametrize("unit", [b"\xff", b"x\n", b"+AGE", b"\x1b$B", b"~{", b"\xd8\x00", b"\x81"])
def test_each_charset_is_read_in_linear_time(charset: str, unit: bytes) -> None:
    form = BodyFormat(charset=charset, max_piece=BIG)
    start = "\ufeff".encode(charset) if charset in ("utf-16", "utf-32") else b""
    for size in (1, SIZE):
        bodies = [start + b"+" + unit * (n // len(unit)) for n in (SIZE // 12, SIZE // 3)]
        counts = [work(slices(Lines, chunks_of(body, size), form, FIELDS))[0] for body in bodies]
        assert counts[1] < 6 * counts[0]


def test_what_an_incremental_decoder_keeps_is_short() -> None:
    # A decoder in C reads what it keeps again with each chunk, and no profiler sees that.
    for charset in CHARSETS:
        for unit in (b"+", b"A", b"\xff", b"\x81", b"\x1b", b"~", b"\\"):
            transcoder = Transcoder(BodyFormat(charset=charset))
            for chunk in (b"\xff\xfe\x00\x00", b"+", *[unit] * 1000):
                try:
                    list(transcoder.split(chunk, lambda text: [text]))
                except BodyError:  # UTF-16 has no mark here
                    break
                assert len(transcoder._decoder.getstate()[0]) < 100, charset


def test_the_counter_sees_what_is_read_again() -> None:
    def again(text: bytes) -> bool:
        return text.endswith(b"x")

    held = b""
    with Steps() as steps:
        for _ in range(1000):
            held += b"x"
            again(held)
    assert steps.count > 500_000


def test_a_slice_is_bounded_by_a_count() -> None:
    found = list(slices(Lines, [b"\n" * 100_000], BodyFormat(), EventFields()))
    assert sum(events for _, events in found) == 100_000
    assert max(events for _, events in found) == 256
    found = list(slices(JSONDocument, [b"[%b1]" % (b"1," * 400_000)], BodyFormat(), EventFields()))
    assert sum(events for _, events in found) == 400_001
    assert max(events for _, events in found) == 256
    large = b"x" * 10_000 + b"\n"
    found = list(slices(Lines, [large * 100], BodyFormat(), EventFields()))
    assert max(len(frames) for frames, _ in found) < 50_000
