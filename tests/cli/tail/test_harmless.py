"""Nothing that a server sends steers a terminal."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_middleware.cli.tail.harmless import harmless, harmless_json, harmless_line

TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def is_harmless(text: str, allowed: str) -> bool:
    return all(
        one in allowed or (unicodedata.category(one) != "Cc" and one not in f"{TURNS}\u2028\u2029")
        for one in text
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 漢字 👩‍🚀", "plain é 漢字 👩‍🚀"),
        ("a\tb\nc", "a\tb\nc"),
        ("\x1b[2Jcleared", "\\x1b[2Jcleared"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31mred", "\\x9b31mred"),
        ("over\rwritten\b\x7f", "over\\x0dwritten\\x08\\x7f"),
        ("user\u202eexe.txt", "user\\u202eexe.txt"),
        ("a\u2028b\x85c", "a\\u2028b\\x85c"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert harmless(text) == shown


@given(st.text())
def test_any_text_is_harmless(text: str) -> None:
    assert is_harmless(harmless(text), "\t\n")
    assert is_harmless(harmless_line(text), "")


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.text())))
def test_json_means_the_same(value: object) -> None:
    for layout in ({}, {"indent": "\t"}, {"ensure_ascii": False, "indent": 2}):
        text = json.dumps(value, **layout)
        shown = harmless_json(text.replace("\n", "\r\n"))
        assert json.loads(shown) == value
        assert is_harmless(shown, "")


def test_a_message_is_one_short_line() -> None:
    assert harmless_line("a\n\tb  c\x1b") == "a b c\\x1b"
    assert harmless_line("x" * 501) == "x" * 500 + "..."
    assert harmless_line("12345", 3) == "123..."
