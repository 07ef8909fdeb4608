"""Legacy bodies: whatever the cut, the pieces are the same."""

import itertools
import json
import logging
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sse_middleware import ConfigurationError
from sse_middleware.errors import BodyError
from sse_middleware.legacy import BodyFormat
from sse_middleware.legacy.body_adapters import (
    ADAPTERS,
    STREAMING_TYPES,
    AdapterFactory,
    Chunks,
    EventStream,
    JSONDocument,
    JSONLines,
    JSONSequence,
    Lines,
    is_json,
)
from sse_middleware.wire import EventStreamDecoder
from sse_middleware.wire.response_headers import content_type

LATIN = BodyFormat(charset="iso-8859-1")
DROP = BodyFormat(unfinished="drop")
DELIVER = BodyFormat(unfinished="deliver")
STRICT = BodyFormat(invalid_text="fail")
SMALL = BodyFormat(max_piece=4)

Case = tuple[AdapterFactory, BodyFormat, bytes, list[bytes]]

# ruff: noqa: E501 - a case is a line

CASES: list[Case] = [
    (Lines, BodyFormat(), b"", []),
    (Lines, BodyFormat(), b"a\nb\n", [b"a", b"b"]),
    (Lines, BodyFormat(), b"a\r\nb\rc\nd", [b"a", b"b", b"c", b"d"]),
    (Lines, BodyFormat(), b"\n\r\n\r\r\n\n", [b"", b"", b"", b"", b""]),
    (Lines, BodyFormat(), b"a\r", [b"a"]),
    (Lines, BodyFormat(), b"a\r\n", [b"a"]),
    (Lines, BodyFormat(), b"a\r\n\n", [b"a", b""]),
    (Lines, BodyFormat(), "ä€\r\n😀\u2028\x0b\x85x".encode(), ["ä€".encode(), "😀\u2028\x0b\x85x".encode()]),
    (Lines, BodyFormat(), "a\r€\n".encode(), [b"a", "€".encode()]),
    (Lines, BodyFormat(), b"a\xff\nb\xc3\nc", ["a\ufffd".encode(), "b\ufffd".encode(), b"c"]),
    (Lines, BodyFormat(), b"a\nb\xe2\x82", [b"a", "b\ufffd".encode()]),
    (Lines, LATIN, b"\xe4\r\n\xf6", ["ä".encode(), "ö".encode()]),
    (Lines, BodyFormat(charset="utf-16"), "ä\r\n€\nx".encode("utf-16"), ["ä".encode(), "€".encode(), b"x"]),
    (Lines, BodyFormat(charset="us-ascii"), b"a\xe4\n", ["a\ufffd".encode()]),
    (Lines, BodyFormat(charset="shift_jis"), "日本\n語".encode("shift_jis"), ["日本".encode(), "語".encode()]),
    (Lines, DROP, b"a\nb", [b"a"]),
    (Lines, DROP, b"a\nb\n", [b"a", b"b"]),
    (Lines, DROP, b"a\r", [b"a"]),
    (Lines, DROP, b"a\n\xe2\x82", [b"a"]),
    (Lines, DELIVER, b"a\nb", [b"a", b"b"]),
    (Lines, SMALL, b"1234\n1234\r\n1234", [b"1234"] * 3),
    (JSONLines, BodyFormat(), b"", []),
    (JSONLines, BodyFormat(), b'{"a":1}\n[2]\r\n\n \t\n"x"', [b'{"a":1}', b"[2]", b'"x"']),
    (JSONLines, BodyFormat(), b'{"a":\r1}\nnope\n', [b'{"a":\r1}', b"nope"]),
    (JSONLines, BodyFormat(), '"ä\u2028"\n'.encode(), ['"ä\u2028"'.encode()]),
    (JSONLines, DROP, b"1\n2", [b"1"]),
    (JSONLines, DROP, b"1\n  ", [b"1"]),
    (JSONLines, SMALL, b"1234\n\n1234\n12", [b"1234", b"1234", b"12"]),
    (JSONSequence, BodyFormat(), b"", []),
    (JSONSequence, BodyFormat(), b'\x1e{"a":1}\n\x1e2\n', [b'{"a":1}', b"2"]),
    (JSONSequence, BodyFormat(), b"\x1e1\x1e2\n\x1e\x1e\n\x1e3", [b"1", b"2", b"3"]),
    (JSONSequence, BodyFormat(), b'\x1e{\n"a":{\n}\n,"b":[\n]\n}\n\x1e[\n1\n]\n', [b'{\n"a":{\n}\n,"b":[\n]\n}', b"[\n1\n]"]),
    (JSONSequence, BodyFormat(), b'\x1e {"a":1} \r\n\x1e 2\r\n', [b'{"a":1}', b"2"]),
    (JSONSequence, BodyFormat(), b'\x1e{"a\n\x1etrue\n', [b'{"a', b"true"]),
    (JSONSequence, BodyFormat(), b"1\n2\n\x1e3\n", [b"1", b"2", b"3"]),
    (JSONSequence, BodyFormat(), b"\x1enope\nnope\n", [b"nope\nnope"]),
    (JSONSequence, DROP, b"\x1e1\n\x1e2", [b"1"]),
    (JSONSequence, DROP, b"\x1e1\n\x1enope\n", [b"1", b"nope"]),
    (JSONDocument, BodyFormat(), b'[1, {"a": [2, 3]},"]", 1.50]', [b"1", b'{"a": [2, 3]}', b'"]"', b"1.50"]),
    (JSONDocument, BodyFormat(), b" [ ] \n", []),
    (JSONDocument, BodyFormat(), b' {"a": [1]}\n', [b'{"a": [1]}']),
    (JSONDocument, BodyFormat(), '["ä", "€"]'.encode(), ['"ä"'.encode(), '"€"'.encode()]),
    (JSONDocument, BodyFormat(), b"null", [b"null"]),
    (JSONDocument, BodyFormat(), b"[\n[],\r\n[\n1]]", [b"[]", b"[\n1]"]),
    (JSONDocument, LATIN, b'["\xe4"]', ['"ä"'.encode()]),
    (JSONDocument, DROP, b"[1]", [b"1"]),
]  # fmt: skip

FAILURES: list[Case] = [
    (Lines, SMALL, b"1\n12345\n2\n", [b"1"]),
    (Lines, SMALL, b"1\n2\n12345", [b"1", b"2"]),
    (JSONLines, SMALL, b"1\n\n12345", [b"1"]),
    (JSONLines, SMALL, b"1\n12345\n2\n", [b"1"]),
    (JSONSequence, SMALL, b"\x1e1\n\x1e12345\n", [b"1"]),
    (JSONDocument, SMALL, b"[1,2]", []),
    (Lines, STRICT, b"1\n2\n3\xff\n4\n", [b"1", b"2"]),
    (Lines, STRICT, b"1\n\xe2\x82\n2\n", [b"1"]),
    (Lines, STRICT, b"1\n\xe2\x82", [b"1"]),
    (JSONLines, STRICT, b'1\n"\xff"\n2\n', [b"1"]),
    (JSONSequence, STRICT, b"\x1e1\n\x1e\xff\n", [b"1"]),
    (JSONDocument, STRICT, b'["\xff"]', []),
    (Lines, BodyFormat(charset="utf-16"), b"no mark", []),
    (JSONDocument, BodyFormat(), b"", []),
    (JSONDocument, BodyFormat(), b"[1, 2", []),
    (JSONDocument, BodyFormat(), b"[1] [2]", []),
    (JSONDocument, BodyFormat(), b"[NaN]", []),
    (JSONDocument, BodyFormat(), b"[" * 100_000, []),
    (JSONDocument, BodyFormat(), b"[" + b"9" * 5000 + b"]", []),
]


def cuts(body: bytes) -> Iterator[list[bytes]]:
    """Whole, byte by byte, with empty chunks, and at every place into two and into three."""
    yield [body]
    yield [body[at : at + 1] for at in range(len(body))]
    yield [b"", body, b""]
    if len(body) < 60:
        for at in itertools.combinations_with_replacement(range(len(body) + 1), 2):
            yield [body[: at[0]], body[at[0] : at[1]], body[at[1] :]]


def fed(
    factory: AdapterFactory, form: BodyFormat, chunks: Iterable[bytes]
) -> tuple[list[bytes], Any]:
    """Return the pieces, and the error that ended them."""
    found: list[bytes] = []
    try:
        adapter = factory(form)
        for chunk in chunks:
            found.extend(adapter.feed(chunk))
        found.extend(adapter.end())
    except BodyError as error:
        return found, error
    return found, None


def title(value: Any) -> str | None:
    return getattr(value, "__name__", None)


@pytest.mark.parametrize(("factory", "form", "body", "pieces"), CASES, ids=title)
def test_pieces(
    factory: AdapterFactory, form: BodyFormat, body: bytes, pieces: list[bytes]
) -> None:
    for chunks in cuts(body):
        assert fed(factory, form, chunks) == (pieces, None), chunks


@pytest.mark.parametrize(("factory", "form", "body", "pieces"), FAILURES, ids=title)
def test_what_comes_before_an_error_is_there_whatever_the_cut(
    factory: AdapterFactory, form: BodyFormat, body: bytes, pieces: list[bytes]
) -> None:
    for chunks in cuts(body):
        found, error = fed(factory, form, chunks)
        assert found == pieces, chunks
        assert error is not None, chunks


NEWLINES = st.sampled_from([b"\n", b"\r", b"\r\n"])
TEXT = st.lists(
    st.one_of(NEWLINES, st.text("aä€😀 ,:", max_size=4).map(str.encode), st.binary(max_size=3))
).map(b"".join)


@st.composite
def cut(draw: st.DrawFn, bodies: st.SearchStrategy[bytes]) -> list[bytes]:
    body = draw(bodies)
    places = sorted(draw(st.lists(st.integers(0, len(body)), max_size=6)))
    return [body[a:b] for a, b in itertools.pairwise([0, *places, len(body)])]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
FORMS = st.builds(
    BodyFormat,
    charset=st.sampled_from(["utf-8", "latin-1", "utf-16", "ascii", "gb18030"]),
    invalid_text=st.sampled_from(["replace", "fail"]),
    unfinished=st.sampled_from(["deliver", "drop", None]),
    max_piece=st.sampled_from([3, 1000]),
)


@given(
    st.sampled_from([Lines, JSONLines, JSONSequence, JSONDocument]),
    FORMS,
    cut(st.one_of(TEXT, st.lists(st.sampled_from([b"\x1e", b"\n", b"{", b"}", b"[1]", b'"a"', b" ", b"12"])).map(b"".join))),
)  # fmt: skip
def test_any_cut_gives_the_same_pieces(
    factory: AdapterFactory, form: BodyFormat, chunks: list[bytes]
) -> None:
    pieces, error = fed(factory, form, chunks)
    whole, error_of_whole = fed(factory, form, [b"".join(chunks)])
    assert pieces == whole
    assert type(error) is type(error_of_whole)


@given(st.lists(JSON), st.sampled_from([None, 1]), st.data())
def test_every_json_value_comes_through(
    values: list[Any], indent: int | None, data: st.DataObject
) -> None:
    texts = [
        json.dumps(value, indent=indent, ensure_ascii=data.draw(st.booleans())).encode()
        for value in values
    ]
    bodies: dict[AdapterFactory, bytes] = {
        JSONSequence: b"".join(b"\x1e%b\n" % text for text in texts),
        JSONDocument: b"[%b]" % b",\n".join(texts),
    }
    if indent is None:
        bodies[JSONLines] = b"".join(b"%b\n" % text for text in texts)
    for factory, body in bodies.items():
        chunks = data.draw(cut(st.just(body)))
        pieces, error = fed(factory, BodyFormat(), chunks)
        assert error is None
        assert [json.loads(piece) for piece in pieces] == values


def test_a_text_of_a_sequence_does_not_wait_for_the_next_one() -> None:
    adapter = JSONSequence(BodyFormat())
    assert list(adapter.feed(b"\x1e[\n1]\n")) == [b"[\n1]"]
    assert list(adapter.feed(b"\x1e12")) == []
    assert list(adapter.feed(b"3\n")) == [b"123"]
    assert list(adapter.feed(b"\x1enope\n")) == []
    assert list(adapter.feed(b"\x1e")) == [b"nope"]


def test_each_chunk_is_a_piece_but_characters_are_kept_whole() -> None:
    adapter = Chunks(BodyFormat())
    fed_chunks = [b"a\nb", b"", "€".encode()[:1], "€".encode()[1:] + b"c", b"\xe2"]
    found = [list(adapter.feed(chunk)) for chunk in fed_chunks]
    assert found == [[b"a\nb"], [], [], ["€c".encode()], []]
    assert list(adapter.end()) == ["\ufffd".encode()]
    assert list(Chunks(BodyFormat()).end()) == []


def test_a_line_that_never_ends_takes_no_more_memory_than_its_bound() -> None:
    adapter = Lines(BodyFormat(max_piece=10_000))
    for _ in range(1000):
        assert not list(adapter.feed(b"x" * 10))
    with pytest.raises(BodyError, match="more than 10000 bytes"):
        list(adapter.feed(b"x"))


def test_invalid_text_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    assert fed(Lines, BodyFormat(), [b"\xff\n", b"\xff\n"])[1] is None
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "not text in utf-8" in record.message


@pytest.mark.parametrize(
    ("factory", "body"), [(Lines, b"a\nbc"), (JSONLines, b"1\n2"), (JSONSequence, b"\x1e1\n\x1e2")]
)
def test_what_is_dropped_is_reported(
    factory: AdapterFactory, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    fed(factory, DROP, [body])
    [record] = caplog.records
    assert "is dropped" in record.message


@pytest.mark.parametrize("charset", ["nope", "rot13", "hex", "undefined", "utf\0", "base64"])
@pytest.mark.parametrize("factory", [Lines, JSONLines, JSONSequence, JSONDocument, Chunks])
def test_an_unknown_charset(factory: AdapterFactory, charset: str) -> None:
    with pytest.raises(BodyError, match=r"charset .* is unknown"):
        factory(BodyFormat(charset=charset))


@pytest.mark.parametrize(
    "options",
    [
        {"invalid_text": "ignore"},
        {"unfinished": "keep"},
        {"max_piece": 0},
        {"max_piece": -1},
        {"max_piece": "1"},
        {"max_piece": True},
        {"max_piece": 1.5},
    ],
)
def test_a_wrong_format(options: dict[str, Any]) -> None:
    name, value = next(iter(options.items()))
    with pytest.raises(ConfigurationError, match=f"{name} must be .*got {value!r}"):
        BodyFormat(**options)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (None, ("", "utf-8")),
        (b"", ("", "utf-8")),
        (b"text/csv", ("text/csv", "utf-8")),
        (b" Text/CSV ; header=present", ("text/csv", "utf-8")),
        (b"text/csv;charset=Latin-1", ("text/csv", "Latin-1")),
        (b'text/csv; a=b; CharSet = "utf-16" ', ("text/csv", "utf-16")),
        (b"text/csv; charset=", ("text/csv", "utf-8")),
        (b"text/csv; charset=a; charset=b", ("text/csv", "a")),
        (b"\xff/x", ("ÿ/x", "utf-8")),
    ],
)
def test_content_type(header: bytes | None, found: tuple[str, str]) -> None:
    assert content_type(header) == found


@pytest.mark.parametrize("text", [b"1", b' {"a": []} ', b'"\xc3\xa4"'])
def test_is_json(text: bytes) -> None:
    assert is_json(text)


@pytest.mark.parametrize(
    "text", [b"", b"1 2", b"NaN", b"-Infinity", b"{", b'"\xff"', b"[" * 10_000]
)
def test_is_no_json(text: bytes) -> None:
    assert not is_json(text)


def test_the_tables_of_adapters() -> None:
    assert set(ADAPTERS) == {"json-lines", "json-seq", "lines", "chunks", "json"}
    assert set(STREAMING_TYPES) == {
        "application/x-ndjson", "application/jsonl", "application/json-lines",
        "application/json-seq", "text/plain", "text/csv",
    }  # fmt: skip


# Event streams that are framed already

ENDS = (b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r", b"\r\n\n", b"\n\r\n", b"\r\n\r", b"\r\r\n")


def framed(chunks: Iterable[bytes], form: BodyFormat = BodyFormat()) -> tuple[list[bytes], bytes]:  # noqa: B008 - frozen
    """Return the pieces before the end, and what the end gives."""
    adapter = EventStream(form)
    pieces = [piece for chunk in chunks for piece in adapter.feed(chunk)]
    return pieces, b"".join(adapter.end())


def decoded(body: bytes) -> list[Any]:
    return [*EventStreamDecoder().feed(body)]


FRAMED = [
    b"",
    b"data: 1\n\ndata: 2\n\n",
    b": comment\n\nid: 1\nevent: e\nretry: 5\nunknown: x\nnocolon\ndata:1\ndata: 2\n\n",
    b"data: 1\r\n\r\ndata: 2\r\rdata: 3\n\r\ndata: 4\r\n\ndata: 5\n\rdata: 6\r\n\r",
    b"\xef\xbb\xbfdata: bom\n\n",
    b"\n\n\n\r\n\r\r\n",
    b"data: \xff\xfe\xe2\x82\n\n",
    b"data: 1\n\n: ping\ndata: 2\n\n",
    "data: ä€😀\r\n\r\n".encode(),
]


@pytest.mark.parametrize("body", FRAMED)
def test_events_that_are_framed_are_not_changed(body: bytes) -> None:
    for chunks in cuts(body):
        pieces, last = framed(chunks)
        assert b"".join(pieces) + last == body, chunks
        assert all(piece.endswith(ENDS) for piece in pieces), chunks


STREAM = st.lists(
    st.one_of(
        NEWLINES,
        st.sampled_from([b"data: x", b": c", b"id: 1", b"event: e", b"retry: 1", b"data", b"x"]),
        st.sampled_from(["ä€".encode(), b"\xff", b"\xef\xbb\xbf"]),
    ),
    max_size=30,
).map(b"".join)


@given(cut(STREAM))
@example([b"data: x\r\n\r", b"\ndata: y\r", b"\n\r\nz"])
def test_the_framed_cutter(chunks: list[bytes]) -> None:
    body = b"".join(chunks)
    pieces, last = framed(chunks)
    passed = b"".join(pieces) + last
    assert body.startswith(passed)
    assert all(piece.endswith(ENDS) for piece in pieces)
    assert not any(end in body[len(passed) :] for end in (b"\n\n", b"\r\r", b"\n\r"))
    assert decoded(passed) == decoded(body)[: len(decoded(passed))]
    events = [one for one in decoded(body) if type(one).__name__ == "MessageEvent"]
    assert [one for one in decoded(passed) if type(one).__name__ == "MessageEvent"] == events


@given(cut(STREAM.filter(lambda body: not body.startswith(b"\xef\xbb\xbf"))))
def test_a_keep_alive_between_two_pieces_changes_no_event(chunks: list[bytes]) -> None:
    pieces, last = framed(chunks)
    pinged = EventStreamDecoder().feed(b": ping\n\n".join([b"", *pieces, last]))
    bare = EventStreamDecoder().feed(b"".join([*pieces, last]))
    assert [one for one in pinged if getattr(one, "text", None) != "ping"] == bare


def test_an_event_that_has_not_ended_is_dropped_and_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert framed([b"data: 1\n\ndata: 2\n"]) == ([b"data: 1\n\n"], b"")
    [record] = caplog.records
    assert "within an event" in record.message


def test_an_event_that_has_not_ended_is_delivered_if_it_shall_be(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for rest in (b"data: 2", b"data: 2\n", b"data: 2\r", b"data: 2\r\n"):
        pieces, last = framed([b"data: 1\n\n" + rest], DELIVER)
        assert [event.data for event in decoded(b"".join(pieces) + last)] == ["1", "2"]
    assert framed([b"data: 1\n\n"], DELIVER) == ([b"data: 1\n\n"], b"")
    assert not caplog.records


@pytest.mark.parametrize("large", [b"data: 23456", b"data: 234\n\n", b"data: 2\r\n\r\n"])
def test_a_large_event_fails_behind_those_that_ended(large: bytes) -> None:
    small = b"data: 1\n\n"
    adapter = EventStream(BodyFormat(max_piece=10))
    found = iter(adapter.feed(small + small + large))
    assert b"".join(next(found) for _ in range(2)) == 2 * small
    with pytest.raises(BodyError, match="an event takes more than 10 bytes"):
        next(found)
