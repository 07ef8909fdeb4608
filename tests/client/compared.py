"""What each client does with each fault, as it was observed: the cells of docs/clients-compared.md.

Rules of this file:
- All clients run in Chromium, at the same time, with their defaults.
- An observation ends when the answer is known, or after `WINDOW`. So no cell is about more time.
- A fault is shown so that a busy machine changes no answer. A CRLF is split many times, because
  some of its parts may arrive together.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from tests.client.fault_server import (
    STOP,
    Answer,
    Asked,
    Shown,
    cut,
    drop,
    head,
    hold,
    send,
    status,
    stream,
)

WINDOW = 5.5
"""Seconds of an observation."""

SOON = 0.1
"""Seconds. Who asks again before that does so at once."""

MANY = 20
"""Requests in one observation that no client needs."""

YES = "yes"


@dataclass
class Seen:
    """What was seen of one client with one fault."""

    shown: Shown
    events: list[dict[str, Any]] = field(default_factory=list)
    refused: bool = False
    """Whether the client has no way to ask so."""

    @property
    def asked(self) -> list[Asked]:
        return self.shown.asked

    @property
    def data(self) -> list[str]:
        return [str(event["data"]) for event in self.events]

    @property
    def comes_back(self) -> bool:
        return len(self.asked) > 1


Cell = Callable[[Seen], str]


@dataclass(frozen=True)
class Row:
    """A fault, and how to say what a client does with it.

    Attributes:
        right: what a client does that does it right.
        answers: what the server sends.
        known: whether the observation has its answer.
        cell: says it.
        reads: how many events there are before the script goes on.
        leaves: whether the client leaves after the first event.
    """

    right: str
    answers: tuple[Answer, ...]
    known: Callable[[Seen], object]
    cell: Cell
    method: str = "GET"
    reads: int = 0
    leaves: bool = False


EVENT = b"retry: 100\nid: 4\ndata: 1\n\n"

LAST = b"data: last\n\n"

SPLITS = 20


def has_last(seen: Seen) -> bool:
    return "last" in seen.data


def comes_back(seen: Seen) -> bool:
    return seen.comes_back


def asks_often(seen: Seen) -> bool:
    return len(seen.asked) > MANY


def pace(seen: Seen) -> str:
    """Say how a client asks again that need not."""
    if median(seen.shown.pauses) < SOON and asks_often(seen):
        return f"asks at once, over {MANY} times"
    return "asks again"


def split_cell(seen: Seen) -> str:
    found = len(seen.events) - 1
    return YES if found == SPLITS else "makes several" if found > SPLITS else "loses some"


def lines_cell(seen: Seen) -> str:
    return {"a\nb": YES, "b": "keeps the last line", "a": "keeps the first line"}[seen.data[0]]


def empty_cell(seen: Seen) -> str:
    return YES if seen.data == ["last"] else "an empty event"


def unfinished_cell(seen: Seen) -> str:
    return "reads it" if "half" in seen.data else YES


def id_cell(expected: str | None, otherwise: str) -> Cell:
    """Say what a client does with an id: what is expected, or what it does otherwise."""

    def cell(seen: Seen) -> str:
        if not seen.comes_back:
            return "doesn't come back"
        return YES if seen.asked[1].last_event_id == expected else otherwise

    return cell


def stops_cell(seen: Seen) -> str:
    return pace(seen) if seen.comes_back else YES


def html_cell(seen: Seen) -> str:
    return "reads it as events" if seen.events else stops_cell(seen)


def returns_cell(seen: Seen) -> str:
    return YES if seen.comes_back else "gives up"


def retry_after_cell(seen: Seen) -> str:
    if not seen.comes_back:
        return "gives up"
    return YES if seen.shown.pauses[0] > 3.9 else "asks earlier"


def ends_cell(seen: Seen) -> str:
    if not seen.comes_back:
        return "ends"
    return pace(seen) if asks_often(seen) else YES


def silence_cell(seen: Seen) -> str:
    return YES if seen.comes_back else "waits on"


def post_cell(seen: Seen) -> str:
    if seen.refused:
        return "no POST"
    return "repeats it" if seen.comes_back else YES


def leave_cell(seen: Seen) -> str:
    return YES if seen.asked[0].left else "leaves it open"


ROWS = [
    Row(
        "A CRLF split over two packets ends one line",
        (
            (
                head(),
                *[send(b"data: 1,\r", b"\ndata: 2\r\n\r", b"\n") for _ in range(SPLITS)],
                send(LAST),
                hold,
            ),
        ),
        has_last,
        split_cell,
    ),
    Row(
        "Lines of data are joined",
        (stream(b"data: a\ndata: b\n\n", LAST, then=hold),),
        has_last,
        lines_cell,
    ),
    Row(
        "A block without data is no event",
        (stream(b"event: price\n\n", b"id: 1\n\n", b": ping\n\n", LAST, then=hold),),
        has_last,
        empty_cell,
    ),
    Row(
        "An event that the end cuts off is none",
        (stream(EVENT, b"data: half\n"), (hold,)),
        lambda seen: seen.comes_back or "half" in seen.data,
        unfinished_cell,
    ),
    Row(
        "After a drop it comes back with the last id",
        (cut(EVENT), (hold,)),
        comes_back,
        id_cell("4", "forgets it"),
        reads=1,
    ),
    Row(
        "A block with only an id counts",
        (cut(EVENT + b"id: 5\n\n"), (hold,)),
        comes_back,
        id_cell("5", "forgets it"),
        reads=1,
    ),
    Row(
        "An empty id clears it",
        (cut(EVENT + b"id\ndata: 2\n\n"), (hold,)),
        comes_back,
        id_cell(None, "keeps the old one"),
        reads=2,
    ),
    Row(
        "After a clean end it comes back with the last id",
        (stream(EVENT), (hold,)),
        comes_back,
        id_cell("4", "forgets it"),
    ),
    Row("204 is the end", (STOP,), asks_often, stops_cell),
    Row("404 is the end", (status(404),), asks_often, stops_cell),
    Row(
        "HTML with 200 is no stream",
        (status(200, b"<!doctype html>\ndata: 1\n\n", "text/html"),),
        lambda seen: bool(seen.events) or asks_often(seen),
        html_cell,
    ),
    Row("502, as in a deployment, passes", (status(502), (hold,)), comes_back, returns_cell),
    Row(
        "503 with `Retry-After` is asked again then",
        (status(503, Retry_After="4"), (hold,)),
        comes_back,
        retry_after_cell,
    ),
    Row(
        "A stream that ends at once is asked again in a while",
        (stream(b"retry: 1000\n\n"),),
        asks_often,
        ends_cell,
    ),
    Row("Silence is a lost connection", (stream(LAST, then=hold),), comes_back, silence_cell),
    Row(
        "A POST without an id is not sent again after a drop",
        (cut(b"retry: 100\ndata: 1\n\n", lost=drop), (hold,)),
        comes_back,
        post_cell,
        method="POST",
        reads=1,
    ),
    Row(
        "`break`, or the method for it, closes the connection",
        (stream(LAST, then=hold),),
        lambda seen: bool(seen.asked) and seen.asked[0].left,
        leave_cell,
        leaves=True,
    ),
]
