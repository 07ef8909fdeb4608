"""The JSON scanner accepts what Pydantic's parser accepts, in any steps."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sse_middleware.legacy.json.lookup import lookup
from sse_middleware.legacy.json.scanner import JSONScanner, checked, elements, is_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=3), inner, max_size=4)
    ),
    max_leaves=15,
)
TOKENS = st.sampled_from([
    *(b"[", b"]", b"{", b"}", b",", b":", b'"', b'"a"', b'"k":', b"[1]", b"{}", b" ", b"\n"),
    *(b"1", b"-", b"0", b".5", b"e", b"E+1", b"true", b"tru", b"false", b"null", b"NaN", b"\x01"),
    *(b"\\", b"\\u12", b"34", b"\\ud83d", b"\\ude00", "ä".encode(), b"\x7f", b"\\x", b"\\/"),
    *(b"\\n", b"\x0c"),
])  # fmt: skip


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """JSON, and what is left of it after a change."""
    indent, ascii_ = draw(st.sampled_from([None, 0, 1])), draw(st.booleans())
    text = json.dumps(draw(VALUES), indent=indent, ensure_ascii=ascii_)
    for _ in range(draw(st.integers(0, 2))):
        begin = draw(st.integers(0, len(text)))
        end = draw(st.integers(begin, min(len(text), begin + 3)))
        text = text[:begin] + (draw(TOKENS) * draw(st.integers(0, 1))).decode() + text[end:]
    return text.encode()


def scanned(text: bytes, step: int) -> bool:
    scanner = JSONScanner()
    for end in range(step, len(text) + step, step):
        scanner.scan(text, min(end, len(text)))
    scanner.finish(text)
    assert not (scanner.complete and scanner.broken)
    return scanner.complete


@example(b'{"k" \n: 1}')
@given(st.lists(TOKENS, max_size=12).map(b"".join) | texts())
def test_the_scanner_agrees_with_the_parser(text: bytes) -> None:
    for step in (1, 2, 3, 7, 1000):
        assert scanned(text, step) == is_json(text), step


@pytest.mark.parametrize("depth", [1, 3, 4, 5, 150])
@pytest.mark.parametrize(
    ("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b"[[],{},", b"]")]
)
def test_values_may_nest(depth: int, opening: bytes, closing: bytes) -> None:
    for text in (opening * depth + b"1" + closing * depth, b"[" + opening * depth):
        assert scanned(text, 1) == scanned(text, 10_000) == is_json(text)


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 1000 + b"]" * 1000,
        b'{"a":' * 1000 + b"1" + b"}" * 1000,
        b"9" * 5000,
        b"[%b]" % (b"9" * 5000),
    ],
)
def test_what_is_too_deep_or_too_long_is_no_json(text: bytes) -> None:
    assert not scanned(text, 1000)
    assert not is_json(text)


def test_long_numbers_and_strings_are_json() -> None:
    for text in (
        b"9" * 4300,
        b"-1." + b"5" * 50_000,
        b'"%b"' % (rb"\u00e4\\" * 10_000),
        b"1e-" + b"0" * 200,
    ):
        assert scanned(text, 1) == scanned(text, 4096) == is_json(text) is True


@given(st.lists(VALUES, max_size=5), st.sampled_from([None, 1]))
def test_elements_are_as_they_are_written(values: list[Any], indent: int | None) -> None:
    written = [json.dumps(value, indent=indent).encode() for value in values]
    text = b" [\n%b ]\r\n" % b" ,\t".join(written)
    assert list(elements(text)) == written


def test_large_and_deep_elements_are_found_in_steps() -> None:
    large = [
        b"[%b1]" % (b"1, " * 5000),
        b'"%b"' % (b"x" * 50_000),
        b"[" * 9 + b"]" * 9,
        b"1." + b"5" * 9000,
    ]
    text = b"[%b]" % b"  ,  ".join([*large, b"2"])
    found = list(elements(text))
    assert [one for one in found if one is not None] == [*large, b"2"]
    assert found.count(None) > 10
    assert len(list(checked(text))) > 10
    assert list(elements(b' {"a": 1} ')) == [b'{"a": 1}']
    short = list(elements(b"[%b1]" % (b"[[[[1]]]]," * 4000)))
    assert 5 <= short.count(None) <= 10, "many short ones share a step"


@pytest.mark.parametrize(
    ("text", "place"),
    [(b"[1,,2]", 3), (b'{"a" 1}', 5), (b"1 2", 2), (b'"\x01"', 1), (b"[nul]", 1)],
)
def test_the_error_names_the_place(text: bytes, place: int) -> None:
    with pytest.raises(ValueError, match=rf"at byte {place}$"):
        list(checked(text))


@pytest.mark.parametrize("text", [b"", b"  ", b"[1", b'"a', b"tru", b'{"a":', b"-"])
def test_a_text_that_is_cut_off_is_no_json(text: bytes) -> None:
    with pytest.raises(ValueError, match=rf"after {len(text)} bytes$|at byte 1$"):
        list(checked(text))


@pytest.mark.parametrize("text", [b"1", b' {"a": []} ', b'"\xc3\xa4"'])
def test_json_is_recognised(text: bytes) -> None:
    assert is_json(text)


@pytest.mark.parametrize(
    "text", [b"", b"1 2", b"NaN", b"-Infinity", b"{", b'"\xff"', b"[" * 10_000]
)
def test_anything_else_is_not_json(text: bytes) -> None:
    assert not is_json(text)


# Looking up one value

RECORD = {"id": 7, "a": {"b": ["x", {"c": 2.5}]}, "s": "text", "n": None, "1": "key", "": "empty"}
PATHS: list[list[int | str]] = [
    ["id"], ["a", "b", 0], ["a", "b", 1, "c"], ["s"], ["n"], ["1"], [""], [1], ["no"], ["a"], [],
    ["a", "b"], ["a", "b", 2], ["a", "b", "x"], ["s", 0], ["s", 9], ["s", "x"], ["id", 0], ["a", 0],
]  # fmt: skip


def looked_up(text: bytes, path: list[int | str]) -> Any:
    steps = lookup(text, path)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        except (LookupError, TypeError):
            return "malformed"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", [0, 10_000])
def test_a_value_is_looked_up_as_in_the_parsed_text(path: list[int | str], size: int) -> None:
    record = {"before": [[[[[1]]]], "x" * size], **RECORD, "after": [1] * size}
    expected: Any = record
    try:
        for key in path:
            expected = expected[key]
    except (LookupError, TypeError):
        expected = "malformed"
    if isinstance(expected, dict | list):
        expected = "malformed"
    for indent in (None, 1):
        assert looked_up(json.dumps(record, indent=indent).encode(), path) == expected


def test_the_last_of_equal_keys_counts() -> None:
    assert looked_up(rb'{"a": 1, "\u0061" : 2 , "b": 3}', ["a"]) == 2
    assert looked_up(b'{"a":' + b"9" * 300 + b"}", ["a"]) == int("9" * 300)
    assert looked_up(b"  12.5", []) == 12.5
