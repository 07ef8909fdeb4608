"""The last id in the bytes of a stream. What a client reads is the judge."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_middleware.wire.decoding import EventStreamDecoder
from sse_middleware.wire.encoding import format_sse_event
from sse_middleware.wire.sent_ids import LONGEST, ForeignIds, OwnIds
from tests.wire.cases import BOM, BOTH_WAYS, READ_ONLY, Case
from tests.wire.chunks import LENGTHS, cut, every_cut, thoroughly

CASES = [
    pytest.param(case, id=case.shows)
    for case in BOTH_WAYS + READ_ONLY
    if not case.wire.startswith(BOM)  # which may only be the first bytes of a stream
]

PIECES = [*(b"id", b":", b" ", b"\n", b"\r", b"\r\n", b"\0"), b"x", b"data: id: 1", b"id: 7\n\n"]


def noted(messages: Iterable[bytes]) -> str:
    ids = ForeignIds()
    for message in messages:
        ids.note(message)
    return ids.last


def read(wire: bytes) -> str:
    decoder = EventStreamDecoder()
    decoder.feed(wire)
    return decoder.last_event_id


@pytest.mark.parametrize("case", CASES)
def test_it_is_what_a_client_would_send_back(case: Case) -> None:
    wire = case.wire + b"\n\n"  # a client dispatches nothing before
    for messages in every_cut(wire):
        assert noted(messages) == read(wire), messages


@thoroughly
@given(st.lists(st.sampled_from(PIECES), max_size=20), LENGTHS)
def test_any_lines(pieces: list[bytes], lengths: list[int]) -> None:
    wire = b"".join([*pieces, b"\n\n"])
    assert noted(cut(wire, lengths)) == read(wire)


SINGLE_LINE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"))
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "data_str": st.sampled_from(["", "x", "\nid: 9", "id: 9\n\nid: 9", "\r\nid: 9"]),
        "event": SINGLE_LINE,
        "id": SINGLE_LINE,
        "retry": st.just(5),
        "comment": st.sampled_from(["", "id: 9", "\nid: 9"]),
    },
)


@thoroughly
@given(st.lists(st.lists(FIELDS, max_size=4), max_size=6))
def test_own_frames_are_whole_events(messages: list[list[dict[str, Any]]]) -> None:
    ids, wire = OwnIds(), b""
    for events in messages:
        message = b"".join(format_sse_event(**fields) for fields in events)
        wire += message
        ids.note(message)
        assert ids.last == read(wire)


@pytest.mark.parametrize(
    ("wire", "last"),
    [
        (b"id: 1\n\nid: 2", "1"),
        (b"id: 1\n\nid: 2\n", "2"),
        (b"id: 1\n\nid\n\n", ""),
        (b"id: 1\n\nid: a\0b\n\n", "1"),
        (b"id: 1\n\nid: a\0b\n\nid: c\0d\n\n", "1"),
        (b"id: 1\n\nidea: 2\n\ndata: \ndata: id: 3\n\n: id: 4\n\n", "1"),
        (b"id:  1 \n\n", " 1 "),
        (b"id: \xff\n\n", "\ufffd"),
    ],
)
def test_a_line_counts_once_it_is_complete(wire: bytes, last: str) -> None:
    for messages in every_cut(wire):
        assert noted(messages) == last


def test_a_stream_may_be_followed_from_within_a_line() -> None:
    ids = ForeignIds(within_line=True)
    ids.note(b"id: 1")
    ids.note(b"\n")
    assert ids.last == ""
    ids.note(b"id: 2\n")
    assert ids.last == "2"


def test_the_beginning_of_a_long_line_is_not_kept() -> None:
    ids = ForeignIds()
    for _ in range(100):
        ids.note(b"id: " * LONGEST)
    assert ids._begun is None
    ids.note(b"\nid: 1\n\n")
    assert ids.last == "1"
