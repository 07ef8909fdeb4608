"""Legacy bodies: the pieces are the same in any chunks."""

import encodings
import itertools
import json
import logging
import pkgutil
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_middleware import ConfigurationError
from sse_middleware.errors import BodyError
from sse_middleware.legacy import BodyFormat
from sse_middleware.legacy.bodies.adapters import (
    ADAPTERS,
    STREAMING_TYPES,
    AdapterFactory,
    Chunks,
    JSONDocument,
    JSONLines,
    JSONSequence,
    Lines,
)

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
    (JSONSequence, BodyFormat(), b'\x1e{"a":1}\r\n\x1e [2] \t\r\n\n\r\n \x1e3\r', [b'{"a":1}', b"[2]", b"3"]),
    (JSONSequence, BodyFormat(), b'\x1e"a\r\n\x1e{"b":"]"\r\n}\r\n', [b'"a', b'{"b":"]"\r\n}']),
    (JSONSequence, BodyFormat(), b"\x1etrue\n-\n\x1e1.\n\x1e1.5e\n3\n", [b"true", b"-", b"1.", b"1.5e\n3"]),
    (JSONSequence, BodyFormat(), b"\x1e[\n" + b"[1]\n," * 20, [(b"[\n" + b"[1]\n," * 20).strip()]),
    (JSONSequence, SMALL, b"\x1e1234\n\x1e\n\n\n\n\n\n1\n", [b"1234", b"1"]),
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

UTF_7 = BodyFormat(charset="utf-7")
UTF_7_STRICT = BodyFormat(charset="utf-7", invalid_text="fail")
UTF_16_STRICT = BodyFormat(charset="utf-16-le", invalid_text="fail")

CASES += [
    (Lines, UTF_7, b"a\n+2D0-b\nc\n", [b"a", "\ufffdb".encode(), b"c"]),
    (Lines, UTF_7, b"a\n+3gA-b\nc+2D0", [b"a", "\ufffdb".encode(), "c\ufffd".encode()]),
    (Lines, UTF_7, b"+2D3eAA-\n+2D0-+3gA-\n", ["\U0001f600".encode(), "\U0001f600".encode()]),
    (Lines, UTF_7, b"+" + b"AGEAYgBj" * 100 + b"-+-\n", [b"abc" * 100 + b"+"]),
    (Lines, UTF_7, b"+" + b"2D3eAABB" * 50 + b"\n", ["\U0001f600A".encode() * 50]),
    (Lines, UTF_7, b"a\n\xff+A-\nb\n", [b"a", "\ufffd\ufffd".encode(), b"b"]),
    (JSONLines, UTF_7, b'1\n"+2D0-"\n2\n', [b"1", '"\ufffd"'.encode(), b"2"]),
    (JSONDocument, UTF_7, b'["+2D0-"]', ['"\ufffd"'.encode()]),
    (Lines, BodyFormat(charset="utf-16-le"), "a\nb".encode("utf-16-le") + b"\x3d\xd8\n\x00c\x00\n\x00", [b"a", "b\ufffd".encode(), b"c"]),
    (Lines, BodyFormat(charset="utf-16"), "a\n".encode("utf-16") + b"\x3d\xd8", [b"a", "\ufffd".encode()]),
]  # fmt: skip

FAILURES: list[Case] = [
    (Lines, UTF_7_STRICT, b"a\n+2D0-b\nc\n", [b"a"]),
    (Lines, UTF_7_STRICT, b"a\nb\nc+2D0-", [b"a", b"b"]),
    (Lines, UTF_7_STRICT, b"a\n\xff\nb\n", [b"a"]),
    (JSONSequence, UTF_7_STRICT, b"\x1e1\n\x1e+3gA-", [b"1"]),
    (JSONDocument, UTF_7_STRICT, b'["+2D0-"]', []),
    (Lines, UTF_16_STRICT, "a\n".encode("utf-16-le") + b"\x3d\xd8\n\x00", [b"a"]),
    (JSONSequence, SMALL, b"\x1e1\n\x1e[1,\n2]\n", [b"1"]),
    (JSONDocument, BodyFormat(), b"[1,,2]", []),
    (JSONDocument, BodyFormat(), b"[1,2,]", []),
    (JSONDocument, BodyFormat(), b"[1,2" + b"]" * 10_000, []),
    (JSONDocument, BodyFormat(), b'{"a":' * 10_000, []),
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
            found.extend(piece for piece in adapter.feed(chunk) if piece is not None)
        found.extend(piece for piece in adapter.end() if piece is not None)
    except BodyError as error:
        return found, error
    return found, None


def title(value: Any) -> str | None:
    return getattr(value, "__name__", None)


@pytest.mark.parametrize(("factory", "form", "body", "pieces"), CASES, ids=title)
def test_a_body_has_these_pieces_in_any_chunks(
    factory: AdapterFactory, form: BodyFormat, body: bytes, pieces: list[bytes]
) -> None:
    for chunks in cuts(body):
        assert fed(factory, form, chunks) == (pieces, None), chunks


@pytest.mark.parametrize(("factory", "form", "body", "pieces"), FAILURES, ids=title)
def test_the_pieces_before_an_error_are_the_same_in_any_chunks(
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
    charset=st.sampled_from(["utf-8", "latin-1", "utf-16", "ascii", "gb18030", "utf-7"]),
    invalid_text=st.sampled_from(["replace", "fail"]),
    unfinished=st.sampled_from(["deliver", "drop", None]),
    max_piece=st.sampled_from([3, 1000]),
)


@given(
    st.sampled_from([Lines, JSONLines, JSONSequence, JSONDocument]),
    FORMS,
    cut(st.one_of(TEXT, st.lists(st.sampled_from([b"\x1e", b"\n", b"{", b"}", b"[1]", b'"a"', b" ", b"12"])).map(b"".join))),
)  # fmt: skip
def test_any_body_has_the_same_pieces_in_any_chunks(
    factory: AdapterFactory, form: BodyFormat, chunks: list[bytes]
) -> None:
    pieces, error = fed(factory, form, chunks)
    whole, error_of_whole = fed(factory, form, [b"".join(chunks)])
    assert pieces == whole
    assert type(error) is type(error_of_whole)


@given(st.lists(JSON), st.sampled_from([None, 1]), st.data())
def test_every_json_value_is_a_piece(
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


def test_a_text_of_a_json_sequence_does_not_wait_for_the_next_one() -> None:
    adapter = JSONSequence(BodyFormat())
    assert list(adapter.feed(b"\x1e[\n1]\n")) == [b"[\n1]"]
    assert list(adapter.feed(b"\x1e12")) == []
    assert list(adapter.feed(b"3\n")) == [b"123"]
    assert list(adapter.feed(b"\x1enope\n")) == []
    assert list(adapter.feed(b"\x1e")) == [b"nope"]


@pytest.mark.parametrize(
    "text", [b'{"a":1}', b"12", b'"\\n"', b"[1, [2,\n3]\n]", b"true", b"-1.5e3"]
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b" \t\r\n"])
def test_a_record_is_delivered_at_its_newline_wherever_it_is_cut(text: bytes, end: bytes) -> None:
    body = b"\x1e" + text + end
    for cut_at in range(len(body)):
        adapter = JSONSequence(BodyFormat())
        assert list(adapter.feed(body[:cut_at])) == []
        assert list(adapter.feed(body[cut_at:])) == [text]
    adapter = JSONSequence(BodyFormat())
    found = [list(adapter.feed(body[at : at + 1])) for at in range(len(body))]
    assert found == [[]] * (len(body) - 1) + [[text]]


def test_each_chunk_is_a_piece_of_whole_characters() -> None:
    adapter = Chunks(BodyFormat())
    fed_chunks = [b"a\nb", b"", "€".encode()[:1], "€".encode()[1:] + b"c", b"\xe2"]
    found = [list(adapter.feed(chunk)) for chunk in fed_chunks]
    assert found == [[b"a\nb"], [], [], ["€c".encode()], []]
    assert list(adapter.end()) == ["\ufffd".encode()]
    assert list(Chunks(BodyFormat()).end()) == []


@pytest.mark.parametrize("charset", ["utf-8", "latin-1", "utf-16-le"])
def test_a_chunk_has_a_bound(charset: str) -> None:
    form = BodyFormat(max_piece=20_000, charset=charset)
    fits, large = ("x" * 20_000).encode(charset), ("x" * 20_001).encode(charset)
    pieces, error = fed(Chunks, form, [fits, b"", fits, large, fits])
    assert pieces == [b"x" * 20_000] * 2
    assert str(error) == "a chunk takes more than 20000 bytes"


def test_the_text_before_an_invalid_byte_of_a_chunk_is_a_piece() -> None:
    pieces, error = fed(Chunks, STRICT, [b"a", b"b\nc\xff", b"d"])
    assert pieces == [b"a", b"b\nc"]
    assert "not text in utf-8" in str(error)


def test_a_line_has_a_bound() -> None:
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
def test_an_unfinished_piece_that_is_dropped_is_reported(
    factory: AdapterFactory, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    fed(factory, DROP, [body])
    [record] = caplog.records
    assert "is dropped" in record.message


@pytest.mark.parametrize(
    "charset",
    [
        "nope",
        "rot13",
        "hex",
        "undefined",
        "utf\0",
        "base64",
        "",
        "idna",
        "punycode",
        "unicode_escape",
        "raw-unicode-escape",  # of Python, not of documents
    ],
)
@pytest.mark.parametrize("factory", [Lines, JSONLines, JSONSequence, JSONDocument, Chunks])
def test_an_unknown_charset_is_refused(factory: AdapterFactory, charset: str) -> None:
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
        {"max_event_size": 0},
        {"max_event_size": "1"},
    ],
)
def test_an_invalid_format_is_refused(options: dict[str, Any]) -> None:
    name, value = next(iter(options.items()))
    with pytest.raises(ConfigurationError, match=f"{name} must be .*got {value!r}"):
        BodyFormat(**options)


CHARSETS = sorted({module.name for module in pkgutil.iter_modules(encodings.__path__)})
"""The text encodings of this Python, and some modules that are none."""


@given(st.sampled_from(CHARSETS), st.sampled_from(["replace", "fail"]), st.data())
def test_text_in_any_charset_becomes_pieces_or_a_body_error(
    charset: str, invalid_text: Any, data: st.DataObject
) -> None:
    form = BodyFormat(charset=charset, invalid_text=invalid_text)
    factories: list[AdapterFactory] = [Lines, JSONLines, JSONSequence, JSONDocument, Chunks]
    factory = data.draw(st.sampled_from(factories))
    text = data.draw(st.text("aä日€😀[]1,\n\x1e\ud83d", max_size=8))
    try:
        valid = text.encode(charset)
    except (UnicodeError, LookupError):
        valid = b""
    wild = st.binary(max_size=6) | st.sampled_from(
        [valid, b"+2D0-", b"+AGE", b"\x1b$B", b"~{", b"\n"]
    )
    body = b"".join([valid, *data.draw(st.lists(wild, max_size=5))])
    whole, error = fed(factory, form, [body])
    for piece in whole:
        piece.decode()
    bytewise, error_bytewise = fed(factory, form, [body[at : at + 1] for at in range(len(body))])
    assert (error is None) or isinstance(error, BodyError)
    if factory is not Chunks:
        assert type(error) is type(error_bytewise)
        assert bytewise == whole


def test_text_before_an_invalid_byte_is_kept_behind_a_byte_order_mark() -> None:
    form = BodyFormat(charset="utf-8-sig", invalid_text="fail")
    for body in (b"\xef\xbb\xbfa\n\x80", b"a\n\x80"):
        found, error = fed(Lines, form, [body])
        assert found == [b"a"]
        assert isinstance(error, BodyError)


def test_utf_16_without_a_byte_order_mark_fails() -> None:
    found, error = fed(Lines, BodyFormat(charset="utf-16", invalid_text="fail"), [b"a\0\n\0"])
    assert not found
    assert isinstance(error, BodyError)


def test_the_adapters_and_their_media_types() -> None:
    assert set(ADAPTERS) == {"json-lines", "json-seq", "lines", "chunks", "json"}
    assert set(STREAMING_TYPES) == {
        "application/x-ndjson", "application/jsonl", "application/json-lines",
        "application/json-seq", "text/plain", "text/csv",
    }  # fmt: skip
