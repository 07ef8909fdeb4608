"""One table of streams tests both directions, in every way to cut them into chunks.

The client for TypeScript reads the same table, in tests/cli.
"""

import re
from typing import Any, Unpack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_middleware.wire.decoding import Comment, Decoded, MessageEvent, ReconnectionTime
from sse_middleware.wire.encoding import format_sse_event
from tests.wire.cases import BOTH_WAYS, READ_ONLY, Case, Fields
from tests.wire.chunks import LENGTHS, cut, decode, every_cut, thoroughly

CASES = [pytest.param(case, id=case.shows) for case in BOTH_WAYS + READ_ONLY]
WRITTEN = [pytest.param(case, id=case.shows) for case in BOTH_WAYS]


@pytest.mark.parametrize("case", WRITTEN)
def test_fields_are_written_as_these_bytes(case: Case) -> None:
    assert case.fields is not None
    assert format_sse_event(**case.fields) == case.wire


@pytest.mark.parametrize("case", CASES)
def test_these_bytes_are_read_as(case: Case) -> None:
    for chunks in every_cut(case.wire):
        assert decode(chunks) == case.decoded, chunks


# Any events

TEXT = st.text(st.characters(codec="utf-8") | st.sampled_from("\r\n:\0 \ufeff\u2028\x85"))
SINGLE_LINE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"))
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "data_str": st.none() | TEXT,
        "event": st.none() | SINGLE_LINE,
        "id": st.none() | SINGLE_LINE,
        "retry": st.none() | st.integers(0, 10**18 - 1),
        "comment": st.none() | TEXT,
    },
)


def meant(last_event_id: str, **fields: Unpack[Fields]) -> tuple[list[Decoded], str]:
    """What a client should make of an event, and the last id after it."""
    found: list[Decoded] = []
    comment, data = (normalised(fields.get(name)) for name in ("comment", "data_str"))
    id_, retry = fields.get("id"), fields.get("retry")
    if comment is not None:
        found += [Comment(line) for line in comment.split("\n")]
    if retry is not None:
        found.append(ReconnectionTime(retry))
    last_event_id = last_event_id if id_ is None else id_
    if data is not None:
        found.append(MessageEvent(data, fields.get("event") or "message", last_event_id))
    return found, last_event_id


def normalised(text: Any) -> str | None:
    return None if text is None else re.sub("\r\n|\r", "\n", text)


@thoroughly
@given(st.lists(FIELDS, max_size=4), LENGTHS)
def test_what_is_written_is_read_again(events: list[Any], lengths: list[int]) -> None:
    wire = b"".join(format_sse_event(**fields) for fields in events)
    expected: list[Decoded] = []
    last_event_id = ""
    for fields in events:
        found, last_event_id = meant(last_event_id, **fields)
        expected += found
    assert decode(cut(wire, lengths)) == expected
