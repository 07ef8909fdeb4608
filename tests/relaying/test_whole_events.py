"""Whole events pass as they are, however the stream is cut, and nothing else does."""

from collections.abc import Iterable

import pytest
from hypothesis import example, given

from sse_middleware.errors import BodyError
from sse_middleware.relaying.whole_events import LARGEST_EVENT, WholeEvents
from sse_middleware.wire.event_boundaries import end_of_last_event, events_in
from tests.legacy.bodies.test_foreign_stream import STREAM, bytewise, cut
from tests.wire.chunks import every_cut

BOM = b"\xef\xbb\xbf"

# What has passed after each step.
STEPS: list[tuple[list[bytes], list[bytes]]] = [
    ([b"data: 1\n\n"], [b"data: 1\n\n"]),
    ([b"data: 1\n", b"\n"], [b"", b"data: 1\n\n"]),
    ([b"data: 1\n\ndata: 2", b"\n\ndata: 3"], [b"data: 1\n\n", b"data: 2\n\n"]),
    ([b"data: 1\r\n\r", b"\ndata: 2\r\n\r\n"], [b"", b"data: 1\r\n\r\ndata: 2\r\n\r\n"]),
    ([b"data: 1\r\n\r", b"data: 2\r\n"], [b"", b"data: 1\r\n\r"]),
    ([b"data: 1\r", b"\rdata: 2\r", b"\r"], [b"", b"data: 1\r\r", b"data: 2\r\r"]),
    ([b"data: 1\n\n: c", b"\n"], [b"data: 1\n\n", b": c\n"]),
    ([b": c\ndata: 1", b"\n\n"], [b"", b": c\ndata: 1\n\n"]),
    ([b"\xef", b"\xbb", b"\xbfdata: 1\n\n"], [b"", b"", b"data: 1\n\n"]),
    ([b"\xefdata: 1\n\n", b"data: 2\n\n"], [b"\xefdata: 1\n\n", b"data: 2\n\n"]),
    ([BOM + b"data: 1\n\n", BOM + b"data: 2\n\n"], [b"data: 1\n\n", BOM + b"data: 2\n\n"]),
    ([b"", b"\n", b"id: 1\n\n\n"], [b"", b"\n", b"id: 1\n\n\n"]),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "passed"), STEPS)
def test_an_event_passes_when_it_is_whole(steps: list[bytes], passed: list[bytes]) -> None:
    events = WholeEvents(None)
    assert [b"".join(block for block, _ in events.feed(step)) for step in steps] == passed


@pytest.mark.parametrize(
    "body",
    [
        b"data: 1\n\nevent: e\ndata: 2\ndata\n\nid: 7\n\n",
        b"data: 1\r\n\r\n: c\r\nid: 2\r\ndata: 2\r\n\r\n",
        b"data: 1\r\rdata: 2\r\r",
        b"data: 1\n\r\ndata: 2\r\n\n",
        b": c\n\n: d\n" + "data: ä€😀\n\n".encode(),
    ],
)
def test_a_stream_passes_byte_for_byte_however_it_is_cut(body: bytes) -> None:
    expected = sum(1 for _ in events_in(body))
    for chunks in every_cut(body):
        for before in (b"", BOM):
            events, (first, *rest) = WholeEvents(None), chunks
            found = [block for chunk in (before, first, *rest) for block in events.feed(chunk)]
            found += events.end()
            assert b"".join(block for block, _ in found) == body
            assert sum(count for _, count in found) == expected


def passed(events: WholeEvents, chunks: Iterable[bytes]) -> list[bytes]:
    return [block for chunk in chunks for block, _ in events.feed(chunk)]


@given(cut(STREAM))
@example([b"data: x\r\n\r", b"\ndata: y\r", b"\n\r\nz"])
@example([b"data: x\n\ndata: y\r\n\r", b"\n"])
@example([b"\n", b"data: x\n\ndata: y\n\nda", b"ta: z\n\n\n\ndata: 1\n\n: c\n\nid: 1\n\n"])
def test_each_block_ends_between_two_events_and_what_is_held_is_not_whole(
    chunks: list[bytes],
) -> None:
    events, body = WholeEvents(None), b"".join(chunks).removeprefix(BOM)
    state = {0: (False, False, 0), **dict(enumerate(bytewise(body), 1))}
    at = counted = 0
    for block, count in (found for chunk in chunks for found in events.feed(chunk)):
        at, counted = at + len(block), counted + count
        assert b"\r" in body or counted == state[at][2]
        assert body[:at].endswith(block)
        assert not any(state[at][:2])
        assert events.last in body
    held = body[at:]
    assert b"\n\n" not in held
    try:
        rest = b"".join(block for block, _ in events.end())
    except BodyError:
        assert any(state[len(body)][:2]) or BOM.startswith(b"".join(chunks))
    else:
        assert rest == held
        assert not any(state[len(body)][:2])


def test_an_event_may_be_as_large_as_its_bound_and_no_larger() -> None:
    event = b"data: 4567\n\n"
    for chunks in every_cut(event * 2):
        assert b"".join(passed(WholeEvents(len(event)), chunks)) == event * 2
    events = WholeEvents(len(event) - 1)
    with pytest.raises(BodyError, match="max_event_size=11"):
        passed(events, [b"data: 1\n\n" + event])


def test_what_came_before_a_large_event_passes() -> None:
    found = WholeEvents(10).feed(b"data: 1\n\ndata: 2\n\ndata: too large\n\n")
    assert next(found) == (b"data: 1\n\ndata: 2\n\n", 2)
    with pytest.raises(BodyError):
        next(found)


def test_a_comment_that_never_ends_is_not_held_for_ever() -> None:
    events, piece = WholeEvents(100_000), b":" * 10_000
    for _ in range(10):
        assert list(events.feed(piece)) == []
    with pytest.raises(BodyError, match="an event or a comment takes more than 100000 bytes"):
        passed(events, [piece] * 10)


def test_an_event_of_many_pieces_takes_linear_time_up_to_its_bound() -> None:
    events, piece = WholeEvents(None), b"x" * 1024
    assert passed(events, [b"data: "]) == []
    for _ in range(LARGEST_EVENT // 1024 - 1):
        assert list(events.feed(piece)) == []
    ((block, count),) = events.feed(b"\n\n")
    assert (len(block), count) == (LARGEST_EVENT - 1024 + 8, 1)


@pytest.mark.parametrize(
    "body", [b"data: 1", b"data: 1\n", b"data: 1\n\nid: 2\n", b": c", b"\xef", b"data: 1\r"]
)
def test_a_stream_that_ends_elsewhere_is_broken(body: bytes) -> None:
    events = WholeEvents(None)
    passed(events, [body])
    with pytest.raises(BodyError, match="in the middle of an event"):
        list(events.end())


@pytest.mark.parametrize(
    ("text", "end"),
    [
        (b"", 0), (b"\n", 0), (b"a\n", 0), (b"\n\n", 2), (b"a\n\nb", 3), (b"a\r\nb", 0),
        (b"a\r\n\r\nb", 5), (b"a\r\n\r\n", 5), (b"a\r\n\r", 0), (b"a\r\rb", 3), (b"a\r\r\nb", 4),
        (b"a\n\rb", 3), (b"a\n\r\nb", 4), (b"a\n\nb\r\nc", 3), (b"a\r\rb\n\nc", 6),
    ],
)  # fmt: skip
def test_the_end_of_the_last_event_is_found(text: bytes, end: int) -> None:
    assert end_of_last_event(text) == end
