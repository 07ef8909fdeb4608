"""Event streams of other libraries: they pass unchanged, and frames go in between events."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sse_middleware.errors import BodyError
from sse_middleware.legacy import BodyFormat
from sse_middleware.legacy.bodies.foreign_stream import ForeignEventStream
from sse_middleware.wire import EventStreamDecoder, MessageEvent

DELIVER = BodyFormat(unfinished="deliver")
BOM = b"\xef\xbb\xbf"
PING = b": ping\n\n"

# After each of these bytes: "-" between two events, "." within one, "?" where a CR may be half of a
# CRLF. Bytes in brackets are one step.
STATES = [
    ([b"data: 1", b"\n", b"\n", b"id: 2", b"\n", b"\n"], "..-..-"),
    ([b"data: 1", b"\r\n", b"\r\n", b"data: 2", b"\r\n", b"\r\n"], "..-..-"),
    ([b"data: 1", b"\r", b"\n", b"\r", b"\n", b"d", b"\r\n", b"\r", b"\n"], "...?-..?-"),
    ([b"data: 1", b"\r", b"\r", b"data: 2", b"\r", b"\r"], "..-..-"),
    ([b"data: 1", b"\n", b"\r", b"\n", b"data: 2", b"\n", b"\r", b": c", b"\r"], "..?-..?.?"),
    ([b"data: 1", b"\r", b"\r", b"\n", b"data: 2", b"\r", b"\r"], "..--..?"),
    ([b": comment", b"\n", b": ", b"another", b"\n", b"\n", b":", b"\r\n"], ".-..--.-"),
    ([b"retry: 1", b"\n", b": comment", b"\n", b"\n", b": c", b"\n"], "....-.-"),
    ([b"\xef", b"\xbb", b"\xbf", b": c", b"\n", b"data: 1\n\n"], "..-.--"),
    ([b"\xef\xbb\xbf", b"\xef\xbb\xbf", b"\n", b"\n"], "-..-"),
    ([b"\xef\xbb", b"\n", b": c\n", b"\n"], "...-"),
    ([b"\n", b"\n", b"\r\n", b"\n\n\n"], "----"),
    ([b"data: [DONE]", b"\n"], ".."),
    ([b"data: 1\n\n: c\n", b"data: 1\n\n: c\ndata: 2", b"\n\ndata\n\n:"], "-.."),
    ([b" : no comment", b"\n", b"\n"], "..-"),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "states"), STATES)
def test_a_frame_may_go_in_between_two_events(steps: list[bytes], states: str) -> None:
    stream = ForeignEventStream(BodyFormat())
    assert stream.between_events
    found = ""
    for step in steps:
        assert list(stream.feed(step)) == [step]
        found += "-" if stream.between_events else "."
    assert found == states.replace("?", ".")
    assert list(stream.end()) == []
    assert stream.between_events == (states[-1] in "-?")


def test_an_empty_chunk_changes_nothing() -> None:
    stream = ForeignEventStream(BodyFormat())
    for step in (b"", b"data: 1\r\n\r", b"", b"\n", b""):
        assert list(stream.feed(step)) == [step] * bool(step)
    assert stream.between_events


STREAM = st.lists(
    st.sampled_from([
        b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", b"data: x", b": c", b":", b"id: 1",
        b"event: e", b"retry: 1", b"data", b"x", "ä€".encode(), b"\xff", BOM, b"\xef",
    ]),
    max_size=20,
).map(b"".join)  # fmt: skip


@st.composite
def cut(draw: st.DrawFn, bodies: st.SearchStrategy[bytes]) -> list[bytes]:
    body = draw(bodies)
    places = sorted(draw(st.lists(st.integers(0, len(body)), max_size=6)))
    return [body[a:b] for a, b in itertools.pairwise([0, *places, len(body)])]


def bytewise(body: bytes) -> Iterator[tuple[bool, bool, int]]:
    """Yield after each byte whether it is within an event, within a line, and how many ended."""
    in_event, line, after_cr, ended = False, b"", False, 0
    for byte in (body[at : at + 1] for at in range(len(body))):
        if byte in (b"\r", b"\n"):
            if not (byte == b"\n" and after_cr):
                ended += in_event and not line
                in_event, line = in_event and bool(line), b""
        else:
            in_event = in_event or (not line and byte != b":")
            line += byte
        after_cr = byte == b"\r"
        yield in_event, bool(line), ended


def state_of(stream: ForeignEventStream) -> dict[str, object]:
    return {name: vars(stream)[name] for name in ("_start", "_in_event", "_in_line", "_after_cr")}


@given(cut(STREAM), st.sampled_from([None, 10_000]))
@example([b"data: x\r\n\r", b"\ndata: y\r", b"\n\r\nz"], None)
@example([b"data: 1\n\n", b"data: 2\nid: x\n\n", b": c\n\n", b"data: 3\n\n\n"], None)
def test_the_state_is_that_of_a_reader_of_single_bytes(
    chunks: list[bytes], bound: int | None
) -> None:
    body, stream = b"".join(chunks), ForeignEventStream(BodyFormat(max_event_size=bound))
    skipped = len(BOM) if body.startswith(BOM) else 0
    states = [(False, False, 0)] * skipped + list(bytewise(body[skipped:]))
    read = events = 0
    for chunk in chunks:
        state, is_one = state_of(stream), stream.is_one_event(chunk)
        assert list(stream.feed(chunk)) == [chunk] * bool(chunk)
        assert not is_one or (stream.events == 1 and state_of(stream) == state)
        read, events = read + len(chunk), events + (stream.events if chunk else 0)
        in_event, in_line, ended = states[read - 1] if read else (False, False, 0)
        assert events == ended
        if read >= len(BOM) or not BOM.startswith(body[:read]):
            waits = body[:read].endswith(b"\r") and not (in_event or in_line)
            assert stream.between_events == (not (in_event or in_line)) or waits


def dispatched(body: bytes) -> list[Any]:
    return [one for one in EventStreamDecoder().feed(body) if isinstance(one, MessageEvent)]


def blank_lines(body: bytes) -> int:
    lines = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return lines[:-1].count(b"")


@given(cut(STREAM.filter(lambda body: not body.startswith(b"\xef"))))
def test_a_frame_between_two_events_changes_no_event(chunks: list[bytes]) -> None:
    stream, body = ForeignEventStream(BodyFormat()), b"".join(chunks)
    pinged, pings = b"", 0
    for chunk in chunks:
        if stream.between_events:
            pinged, pings = pinged + PING, pings + 1
        pinged += b"".join(stream.feed(chunk))
    assert dispatched(pinged) == dispatched(body)
    if b"\r" not in body.replace(b"\r\n", b""):
        assert blank_lines(pinged) == blank_lines(body) + pings  # no LF was left alone


def test_a_large_chunk_passes_in_parts() -> None:
    event = b"data: %b\n\n" % (b"x" * 5_000_000)
    stream = ForeignEventStream(BodyFormat())
    states = [(part, stream.events, stream.between_events) for part in stream.feed(event * 2)]
    assert b"".join(part for part, _, _ in states) == event * 2
    assert sum(events for _, events, _ in states) == 2
    assert max(len(part) for part, _, _ in states) <= 64 * 1024
    assert not states[0][2]
    assert states[-1][2]


def test_an_incomplete_event_is_left_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    for unfinished in (None, "drop"):
        stream = ForeignEventStream(BodyFormat(unfinished=unfinished))
        assert list(stream.feed(b"data: 1\n\ndata: [DONE]\n")) == [b"data: 1\n\ndata: [DONE]\n"]
        assert list(stream.end()) == []
        assert not stream.between_events
    assert not caplog.records


@pytest.mark.parametrize("rest", [b"data: 2", b"data: 2\n", b"data: 2\r", b"data: 2\r\n"])
def test_an_incomplete_event_may_be_delivered(rest: bytes) -> None:
    stream = ForeignEventStream(DELIVER)
    body = b"".join(stream.feed(b"data: 1\n\n" + rest)) + b"".join(stream.end())
    assert [event.data for event in dispatched(body)] == ["1", "2"]
    assert stream.events == 1
    assert stream.between_events
    assert blank_lines(body) == 2


@pytest.mark.parametrize("body", [b"", b"data: 1\n\n", b": c\n", b"\r\n", b"data\r\n\r", BOM])
def test_nothing_is_added_to_what_is_complete(body: bytes) -> None:
    stream = ForeignEventStream(DELIVER)
    assert b"".join(stream.feed(body)) == body
    assert list(stream.end()) == []
    assert stream.between_events


def test_an_incomplete_comment_is_completed() -> None:
    stream = ForeignEventStream(DELIVER)
    assert [*stream.feed(b"data: 1\n\n: c"), *stream.end()] == [b"data: 1\n\n: c", b"\n"]


# Bounds

SMALL = b"data: 1\n\n"


def test_an_event_that_comes_alone_is_seen_at_once() -> None:
    stream = ForeignEventStream(BodyFormat(max_event_size=9))
    list(stream.feed(SMALL))
    assert stream.is_one_event(SMALL)
    for other in (b"data: 12\n\n", SMALL + SMALL, b"data: 1\n", b"\n\n", b"x", b"a\r\n\n"):
        assert not stream.is_one_event(other), other


def passed(chunks: Iterable[bytes], bound: int) -> tuple[bytes, str]:
    stream, found = ForeignEventStream(BodyFormat(max_event_size=bound)), b""
    try:
        for chunk in chunks:
            for part in stream.feed(chunk):
                found += part
    except BodyError as error:
        return found, str(error)
    return found, ""


@pytest.mark.parametrize(
    "large", [b"data: 23456", b"data: 234\n\n", b"data: 23\r\n\r\n", b"i\n" * 6]
)
@pytest.mark.parametrize(
    "before", [b"", SMALL, SMALL + SMALL, b": a long comment\n\n" + SMALL, BOM]
)
def test_a_large_event_fails_after_those_before_it(large: bytes, before: bytes) -> None:
    error = "an event takes more than max_event_size=10 bytes"
    assert passed([before + large + SMALL], 10) == (before, error)
    for at in range(len(before + large)):
        found, message = passed([(before + large)[:at], (before + large)[at:] + SMALL], 10)
        assert message == error
        assert dispatched(found) == dispatched(before)
    found, message = passed([bytes([byte]) for byte in before + large], 10)
    assert (message, dispatched(found)) == (error, dispatched(before))


def test_comments_between_events_have_no_bound() -> None:
    body = [b": keep-alive\n"] * 10_000 + [SMALL, b":" * 50_000, b"\n", SMALL]
    assert passed(body, 10) == (b"".join(body), "")
    assert passed([b"".join(body)], 10) == (b"".join(body), "")


def test_max_piece_is_no_bound_of_events() -> None:
    stream = ForeignEventStream(BodyFormat(max_piece=1))
    assert list(stream.feed(SMALL)) == [SMALL]
