"""How events are printed: for people, as JSON, and as the bytes that came."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_middleware.cli.tail.formats import CopiedBytes, EventJson, EventText, lines_of
from sse_middleware.wire.decoding import MessageEvent

AT = datetime(2026, 11, 27, 12, 3, 41, 204_900, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (MessageEvent("hello"), "12:03:41.204 hello\n"),
        (MessageEvent("1", "price", "17"), "12:03:41.204 price #17 1\n"),
        (MessageEvent("", "done"), "12:03:41.204 done \n"),
        (
            MessageEvent("a\nb\n12:03:41.204 forged"),
            "12:03:41.204 a\n    b\n    12:03:41.204 forged\n",
        ),
        (MessageEvent("\x1b[2J", "\x07", "\x9b"), "12:03:41.204 \\x07 #\\x9b \\x1b[2J\n"),
    ],
)
def test_for_people(event: MessageEvent, text: str) -> None:
    assert EventText(coloured=False)(event, AT) == text


def test_colours_are_those_of_the_name_and_red_is_for_losses() -> None:
    def shown(name: str) -> str:
        return EventText(coloured=True)(MessageEvent("\x1b[0m", name, "7"), AT)

    assert shown("message") == "\x1b[2m12:03:41.204\x1b[0m \x1b[2m#7\x1b[0m \\x1b[0m\n"
    assert "\x1b[1m\x1b[31merror\x1b[0m" in shown("error")
    assert "\x1b[1m\x1b[31mgap\x1b[0m" in shown("gap")
    colours = {shown(f"name {number}").partition("\x1b[1m")[2][:5] for number in range(50)}
    assert len(colours) == 5
    assert "\x1b[31m" not in colours
    assert shown("price") == shown("price")


def as_json(data: str) -> Any:
    text = EventJson()(MessageEvent(data, "price", "17"), AT)
    assert text.count("\n") == 1
    return json.loads(text)


def test_as_json() -> None:
    text = EventJson()(MessageEvent('{"a": 1.10}', "price", "17"), AT)
    assert text == (
        '{"time": "2026-11-27T12:03:41.204+01:00", "event": "price", "id": "17", '
        '"data": {"a": 1.10}}\n'
    )


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ('{"a": [1, null]}', {"a": [1, None]}),
        (" [\n 1,\n\t2 ]\n", [1, 2]),
        ("[" + "9" * 5000 + "]", "digits"),
        ("5", "5"),
        ("true", "true"),
        ("null", "null"),
        ('"word"', '"word"'),
        ("word", "word"),
        ("[DONE]", "[DONE]"),
        ("{", "{"),
        ("[NaN]", "[NaN]"),
        ('{"a": 1}{"b": 2}', '{"a": 1}{"b": 2}'),
        ('["\x01"]', '["\x01"]'),  # JSON escapes control characters
        ('["\x9b\u202e\u2028"]', ["\x9b\u202e\u2028"]),
        ("[" * 100_000, "[" * 100_000),
        ("", ""),
        ("a\nb", "a\nb"),
    ],
)
def test_objects_and_arrays_are_json_and_the_rest_is_text(data: str, value: object) -> None:
    if value == "digits":
        assert data in EventJson()(MessageEvent(data), AT)
    else:
        assert as_json(data)["data"] == value


@given(st.text(), st.text(), st.text())
def test_any_text_comes_through_json(data: str, name: str, id: str) -> None:
    text = EventJson()(MessageEvent(data, name, id), AT)
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1
    found = json.loads(text)
    assert (found["event"], found["id"]) == (name, id)
    if isinstance(found["data"], str):
        assert found["data"] == data
    else:
        assert found["data"] == json.loads(data)


def test_bytes_are_copied() -> None:
    copied = CopiedBytes(on_terminal=False)
    assert copied(b"\x1b[2J\xff\r\n") == b"\x1b[2J\xff\r\n"


def test_bytes_on_a_terminal_are_harmless_across_chunks() -> None:
    copied = CopiedBytes(on_terminal=True)
    chunks = ["é".encode()[:1], "é".encode()[1:], b"\x1b[2J", b"\xc2", b"\x9b1m", b"\xff\n"]
    assert b"".join(map(copied, chunks)) == "é\\x1b[2J\\x9b1m\ufffd\n".encode()


def test_pieces_end_with_each_line() -> None:
    assert list(lines_of(b"a\r\nb\rc\nd\x0b\xc2\x85")) == [
        b"a\r\n",
        b"b\r",
        b"c\n",
        b"d\x0b\xc2\x85",
    ]
