"""From the pieces of a legacy body to events."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from sse_middleware import ConfigurationError, FieldError
from sse_middleware.errors import BodyError
from sse_middleware.legacy import BodyFormat
from sse_middleware.legacy.body_adapters import (
    AdapterFactory,
    EventStream,
    JSONDocument,
    JSONLines,
    Lines,
)
from sse_middleware.legacy.conversion import Conversion, EventFields


def converted(
    body: bytes, factory: AdapterFactory = JSONLines, **fields: Any
) -> tuple[bytes, BodyError | None]:
    conversion = Conversion(factory, BodyFormat(), EventFields(**fields), "GET /logs")
    return conversion.feed(body) + conversion.end(), conversion.error


# ruff: noqa: E501 - a case is a line

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
    (EventStream, {}, b": c\nid: 1\r\n\r\nx\n\n", b": c\nid: 1\r\n\r\nx\n\n"),
]  # fmt: skip


@pytest.mark.parametrize(("factory", "fields", "body", "frames"), CASES)
def test_frames(
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
def test_a_malformed_piece(
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


def test_nothing_comes_after_an_error_not_even_the_last_event() -> None:
    fields = EventFields(malformed="fail", last=b"event: end\n\n")
    conversion = Conversion(JSONLines, BodyFormat(), fields, "GET /")
    assert conversion.feed(b"1\nx\n2\n") == b"data: 1\n\n"
    first = conversion.error
    assert first is not None
    assert conversion.feed(b"3\n") == b""
    assert conversion.end() == b""
    assert conversion.error is first


def test_an_error_at_the_end() -> None:
    fields = EventFields(malformed="fail", last=b"event: end\n\n")
    conversion = Conversion(JSONLines, BodyFormat(), fields, "GET /")
    assert conversion.feed(b"1\nx") == b"data: 1\n\n"
    assert conversion.error is None
    assert conversion.end() == b""
    assert conversion.error is not None


class Words:
    """An adapter of a user's own, whose `feed` is a generator and whose `end` returns a list."""

    def __init__(self, body: BodyFormat) -> None:
        self.body = body

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        for word in chunk.split():
            if len(word) > self.body.max_piece:
                raise BodyError("a long word")
            yield word

    def end(self) -> list[bytes]:
        return [b"over\r\nand out"]


def test_an_adapter_of_the_users_own() -> None:
    assert converted(b"a bc", Words) == (
        b"data: a\n\ndata: bc\n\ndata: over\ndata: and out\n\n",
        None,
    )
    conversion = Conversion(Words, BodyFormat(max_piece=2), EventFields(), "GET /")
    assert conversion.feed(b"a bc def g") == b"data: a\n\ndata: bc\n\n"
    assert str(conversion.error) == "a long word"


def test_what_an_adapter_raises_that_is_no_body_error_goes_up() -> None:
    class Broken(Words):
        def feed(self, chunk: bytes) -> Iterator[bytes]:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        converted(b"a", Broken)


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
def test_wrong_fields(fields: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(fields))):
        EventFields(**fields)
