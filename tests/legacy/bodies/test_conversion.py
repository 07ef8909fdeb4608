"""From the pieces of a legacy body to events."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from sse_middleware import ConfigurationError, FieldError
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
from sse_middleware.legacy.bodies.conversion import LARGE, Conversion, EventFields
from sse_middleware.legacy.bodies.foreign_stream import ForeignEventStream


def converted(
    body: bytes, factory: AdapterFactory = JSONLines, **fields: Any
) -> tuple[bytes, BodyError | None]:
    conversion = Conversion(factory, BodyFormat(), EventFields(**fields), "GET /logs")
    return fed(conversion, body) + ended(conversion), conversion.error


def fed(conversion: Conversion, chunk: bytes) -> bytes:
    return b"".join(frames for frames, _ in conversion.feed(chunk))


def ended(conversion: Conversion) -> bytes:
    return b"".join(frames for frames, _ in conversion.end())


# ruff: noqa: E501 - a case is a line

ENDS = "a\x85b\u2028c\u2029d".encode()
"""Text that some clients split into lines."""

ESCAPED = b"a\\u0085b\\u2028c\\u2029d"

CASES: list[tuple[AdapterFactory, dict[str, Any], bytes, bytes]] = [
    (Lines, {}, b"", b""),
    (Lines, {}, b"a\n\nb", b"data: a\n\ndata: \n\ndata: b\n\n"),
    (Lines, {"last": b"event: end\n\n"}, b"a", b"data: a\n\nevent: end\n\n"),
    (Lines, {"last": b"event: end\n\n"}, b"", b"event: end\n\n"),
    (Lines, {"event": "log"}, b"a\nb", b"event: log\ndata: a\n\nevent: log\ndata: b\n\n"),
    (Lines, {"id": "{line}"}, b"a\n\nb", b"data: a\nid: 1\n\ndata: \nid: 2\n\ndata: b\nid: 3\n\n"),
    (Lines, {"id": "x-{line:03d}"}, b"a\n", b"data: a\nid: x-001\n\n"),
    (Lines, {"id": "{json[id]}"}, b'{"id":7}\n', b'data: {"id":7}\nid: 7\n\n'),
    (JSONLines, {}, b'{"a": 1}\n', b'data: {"a": 1}\n\n'),
    (JSONLines, {}, b'{"a":\r1}\n', b'data: {"a":\ndata: 1}\n\n'),
    (JSONLines, {"id": "{json[a][b]}"}, b'{"a":{"b":"x"}}\n', b'data: {"a":{"b":"x"}}\nid: x\n\n'),
    (JSONLines, {"id": "{json[1]}"}, b"[1, 2.5]\n", b"data: [1, 2.5]\nid: 2.5\n\n"),
    (JSONLines, {"id": "{json}/{line}"}, b'5\n"a"\n', b'data: 5\nid: 5/1\n\ndata: "a"\nid: a/2\n\n'),
    (JSONLines, {"id": "{{}}"}, b"5\n", b"data: 5\nid: {}\n\n"),
    (JSONDocument, {}, b"[1,\n{\n}]", b"data: 1\n\ndata: {\ndata: }\n\n"),
    (JSONDocument, {"id": "{json[id]}"}, b'[{"id": 1}]', b'data: {"id": 1}\nid: 1\n\n'),
    (JSONLines, {}, b'"%b"\n' % ENDS, b'data: "%b"\n\n' % ESCAPED),
    (JSONLines, {"event": "e", "id": "{json}"}, b'"%b"\n' % ENDS, b'event: e\ndata: "%b"\nid: %b\n\n' % (ESCAPED, ENDS)),
    (JSONLines, {}, b'"%b\n' % ENDS, b'data: "%b\n\n' % ENDS),
    (JSONSequence, {}, b'\x1e"%b"\n' % ENDS, b'data: "%b"\n\n' % ESCAPED),
    (JSONDocument, {}, b'["%b",\n1]' % ENDS, b'data: "%b"\n\ndata: 1\n\n' % ESCAPED),
    (JSONDocument, {"id": "{line}"}, b'["%b"]' % ENDS, b'data: "%b"\nid: 1\n\n' % ESCAPED),
    (Lines, {"id": "{json}"}, b'"%b"\n' % ENDS, b'data: "%b"\nid: %b\n\n' % (ESCAPED, ENDS)),
    (Lines, {}, b'"%b"\n' % ENDS, b'data: "%b"\n\n' % ENDS),
    (Chunks, {}, b'"%b"' % ENDS, b'data: "%b"\n\n' % ENDS),
    (ForeignEventStream, {}, b'data: "%b"\n\n' % ENDS, b'data: "%b"\n\n' % ENDS),
    (ForeignEventStream, {}, b": c\nid: 1\r\n\r\nx\n\n", b": c\nid: 1\r\n\r\nx\n\n"),
]  # fmt: skip


@pytest.mark.parametrize(("factory", "fields", "body", "frames"), CASES)
def test_a_body_becomes_these_frames(
    factory: AdapterFactory, fields: dict[str, Any], body: bytes, frames: bytes
) -> None:
    assert converted(body, factory, **fields) == (frames, None)


MALFORMED = [
    ({}, b"nope"),
    ({}, b"NaN"),
    ({}, b"\x00"),
    ({}, b'"\\ud800"'),
    ({"id": "{json[id]}"}, b'{"no": 1}'),
    ({"id": "{json[id]}"}, b"[1]"),
    ({"id": "{json[id]}"}, b"1"),
    ({"id": "{json[id]}"}, b'{"id": null}'),
    ({"id": "{json[id]}"}, b'{"id": true}'),
    ({"id": "{json[id]}"}, b'{"id": {"a": 1}}'),
    ({"id": "{json[id]}"}, b'{"id": "a\\nb"}'),
    ({"id": "{json[id]}"}, b'{"id": "a\\u0000b"}'),
    ({"id": "{json[5]}"}, b"[1]"),
    ({"id": "{json[id]:d}"}, b'{"id": "x"}'),
]
GOOD = b'{"id": 1}'


@pytest.mark.parametrize(("fields", "piece"), MALFORMED)
@pytest.mark.parametrize("malformed", ["raw", "skip", "fail"])
def test_a_malformed_piece_is_sent_left_out_or_an_error(
    fields: dict[str, Any], piece: bytes, malformed: str, caplog: pytest.LogCaptureFixture
) -> None:
    good = b"data: %b\n%b\n" % (GOOD, b"id: 1\n" if "json[id]" in str(fields) else b"")
    lines = [GOOD, piece, GOOD] if "json[5]" not in str(fields) else [piece]
    frames, error = converted(b"\n".join(lines) + b"\n", **fields, malformed=malformed)
    expected = [good if line is GOOD else b"data: %b\n\n" % piece for line in lines]
    if malformed == "raw":
        assert frames == b"".join(expected)
    elif malformed == "skip":
        assert frames == b"".join(frame for frame in expected if frame is good)
    else:
        assert frames == b"".join(expected[: lines.index(piece)])
        assert "GET /logs: piece " in str(error)
        assert not caplog.records
        return
    assert error is None
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert f"GET /logs: piece {lines.index(piece) + 1} is malformed" in record.message
    assert ("left out" in record.message) == (malformed == "skip")


def test_a_malformed_piece_keeps_its_type_and_counts() -> None:
    assert converted(b"x\n1\n", event="e", id="{line}") == (
        b"event: e\ndata: x\n\nevent: e\ndata: 1\nid: 2\n\n",
        None,
    )


def test_nothing_is_sent_after_an_error() -> None:
    fields = EventFields(malformed="fail", last=b"event: end\n\n")
    conversion = Conversion(JSONLines, BodyFormat(), fields, "GET /")
    assert fed(conversion, b"1\nx\n2\n") == b"data: 1\n\n"
    first = conversion.error
    assert first is not None
    assert fed(conversion, b"3\n") == b""
    assert ended(conversion) == b""
    assert conversion.error is first


def test_an_error_may_come_at_the_end() -> None:
    fields = EventFields(malformed="fail", last=b"event: end\n\n")
    conversion = Conversion(JSONLines, BodyFormat(), fields, "GET /")
    assert fed(conversion, b"1\nx") == b"data: 1\n\n"
    assert conversion.error is None
    assert ended(conversion) == b""
    assert conversion.error is not None


class Words:
    """A user's adapter, whose `feed` is a generator and whose `end` returns a list."""

    def __init__(self, body: BodyFormat) -> None:
        self.body = body

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        for word in chunk.split():
            if len(word) > self.body.max_piece:
                raise BodyError("a long word")
            yield word

    def end(self) -> list[bytes]:
        return [b"over\r\nand out"]


def test_users_may_write_an_adapter() -> None:
    assert converted(b"a bc", Words) == (
        b"data: a\n\ndata: bc\n\ndata: over\ndata: and out\n\n",
        None,
    )
    conversion = Conversion(Words, BodyFormat(max_piece=2), EventFields(), "GET /")
    assert fed(conversion, b"a bc def g") == b"data: a\n\ndata: bc\n\n"
    assert str(conversion.error) == "a long word"


def test_any_other_error_of_an_adapter_is_raised_after_what_came_before_it() -> None:
    class Broken(Words):
        def feed(self, chunk: bytes) -> Iterator[bytes]:
            yield chunk
            raise ZeroDivisionError

    conversion = Conversion(Broken, BodyFormat(), EventFields(), "GET /")
    slices = conversion.feed(b"a")
    assert next(slices) == (b"data: a\n\n", 1)
    with pytest.raises(ZeroDivisionError):
        next(slices)


def test_an_adapter_may_pause() -> None:
    class Slow(Words):
        def feed(self, chunk: bytes) -> Iterator[bytes | None]:  # type: ignore[override]
            for byte in chunk.split():
                yield byte
                yield None
            yield None

    conversion = Conversion(Slow, BodyFormat(), EventFields(), "GET /")
    found = [(b"data: a\n\n", 1), (b"data: b\n\n", 1), (b"", 0)]
    assert list(conversion.feed(b"a b")) == found


# Slices


def test_nothing_is_yielded_for_nothing() -> None:
    for factory in (Lines, JSONLines, JSONSequence, JSONDocument, Chunks, ForeignEventStream):
        conversion = Conversion(factory, BodyFormat(), EventFields(), "GET /")
        assert list(conversion.feed(b"")) == []
        assert conversion.between_events


def test_each_slice_says_how_many_events_it_has() -> None:
    for fields in (
        EventFields(),
        EventFields(event="e"),
        EventFields(id="{json}", malformed="skip"),
    ):
        conversion = Conversion(Lines, BodyFormat(), fields, "GET /")
        found = list(conversion.feed(b"1\n" * 700 + b"x\n" * 10 + b"y"))
        for frames, events in found:
            assert frames.count(b"\n\n") == events <= 256
        assert sum(events for _, events in found) in (700, 710)
        assert conversion.between_events


def test_an_event_stream_passes_at_once() -> None:
    conversion = Conversion(ForeignEventStream, BodyFormat(), EventFields(), "GET /")
    for chunk, events, between in [
        (b"data: 1\n", 0, False),
        (b": comment\n", 0, False),
        (b"\ndata: 2\n\n: comment\n", 2, True),
        (b": comment\n\n", 0, True),
        (b"data: [DONE]\n", 0, False),
    ]:
        assert list(conversion.feed(chunk)) == [(chunk, events)]
        assert conversion.between_events == between
    assert list(conversion.end()) == []
    assert conversion.error is None


def test_an_event_that_is_too_large_is_an_error_after_those_before_it() -> None:
    conversion = Conversion(
        ForeignEventStream, BodyFormat(max_event_size=10), EventFields(), "GET /"
    )
    assert list(conversion.feed(b"data: 1\n\ndata: 12345\n\n")) == [(b"data: 1\n\n", 1)]
    assert "max_event_size=10" in str(conversion.error)
    assert list(conversion.feed(b"data: 1\n\n")) == []


LARGE_PIECES = [
    b'{"id": 7, "x": "%b"}' % (b"x" * 2 * LARGE),
    b'{"x": [%b1], "id": "a"}' % (b"[1, {}],\r\n" * LARGE),
    b'{"x": "\n%b"}' % (b"x" * 2 * LARGE),
    b'{"x": [%b' % (b"\r1,\n" * LARGE),
    b'{"id": [%b1]}' % (b"1," * LARGE),
    b'{"id": "%b"}' % (b"x" * 2 * LARGE),
    b'{"id": "a\\nb", "x": "%b"}' % (b"x" * 2 * LARGE),
    b'"%b"' % (b"x" * 2 * LARGE),
    b'{"id": 7, "x": "%b"}' % (ENDS * LARGE),
    b"\r\n" * LARGE,
    b"[%b1]" % (b"1," * LARGE),
]


@pytest.mark.parametrize("piece", LARGE_PIECES, ids=range(len(LARGE_PIECES)))
@pytest.mark.parametrize("malformed", ["raw", "skip", "fail"])
@pytest.mark.parametrize("options", [{}, {"event": "e"}, {"id": "{json[id]}"}, {"id": "{line}"}])
def test_a_large_piece_becomes_the_event_that_a_small_one_does(
    piece: bytes, malformed: Any, options: dict[str, Any]
) -> None:
    fields = EventFields(malformed=malformed, **options)

    def found(factory: AdapterFactory, large: int) -> tuple[list[tuple[bytes, int]], bool]:
        conversion = Conversion(factory, BodyFormat(max_piece=10**7), fields, "GET /", large)
        frame = b"%b" if factory is Chunks else b"\x1e%b\n"
        slices = [one for text in (b"1", piece, b"2") for one in conversion.feed(frame % text)]
        return [*slices, *conversion.end()], conversion.error is not None

    for factory in (Chunks, JSONSequence):
        large, failed = found(factory, LARGE)
        small, failed_small = found(factory, 10**9)
        assert [one for one in large if one[1]] == [one for one in small if one[1]]
        assert failed == failed_small


def test_a_large_piece_is_converted_in_steps() -> None:
    piece = b"[%b1]" % (b"[1],\n" * 50_000)
    body = b"\x1e" + piece + b"\n"
    conversion = Conversion(JSONSequence, BodyFormat(), EventFields(id="{line}"), "GET /")
    found = list(conversion.feed(body))
    assert [one for one in found if one[1]] == [
        (b"data: " + piece.replace(b"\n", b"\ndata: ") + b"\nid: 1\n\n", 1)
    ]
    assert len(found) > 60


def test_a_message_about_a_malformed_piece_is_short(caplog: pytest.LogCaptureFixture) -> None:
    piece = b'{"id": [%b1]}' % (b"1," * 5000)
    converted(piece, id="{json[id]}")
    converted(b'{"id": "\\n%b"}' % (b"x" * 5000), id="{json[id]}")
    assert max(len(record.getMessage()) for record in caplog.records) < 600


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"event": "a\nb"}, FieldError),
        ({"event": "\ud800"}, FieldError),
        ({"event": 1}, FieldError),
        ({"id": "a\rb"}, FieldError),
        ({"id": "\ud800"}, FieldError),
        ({"id": 5}, FieldError),
        ({"id": "{"}, ConfigurationError),
        ({"id": "{}"}, ConfigurationError),
        ({"id": "{0}"}, ConfigurationError),
        ({"id": "{name}"}, ConfigurationError),
        ({"id": "{json.id}"}, ConfigurationError),
        ({"id": "{json[id].real}"}, ConfigurationError),
        ({"id": "{json[a]b}"}, ConfigurationError),
        ({"id": "{line[a]}"}, ConfigurationError),
        ({"id": "{line:nope}"}, ConfigurationError),
        ({"malformed": "ignore"}, ConfigurationError),
    ],
)
def test_an_invalid_field_is_refused(fields: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(fields))):
        EventFields(**fields)
