"""The table of states, row by row, and the delays."""

import sys
from collections.abc import Callable

import pytest

from sse_middleware.cli.tail.ending import Ending
from sse_middleware.cli.tail.follow import (
    LONGEST_DELAY,
    Follow,
    Policy,
    Reconnect,
    State,
    is_event_stream,
)

STREAM = "text/event-stream"

CONNECTING, OPEN, WAITING, CLOSED = State

Step = Callable[[Follow], None]
Met = tuple[State, Ending | None]


def answered(status: int, content_type: str = STREAM, retry_after: float = 0) -> Step:
    return lambda follow: follow.answered(status, content_type, retry_after)


def event(follow: Follow) -> None:
    follow.moved("")


def event_with_id(follow: Follow) -> None:
    follow.moved("7")


def event_with_unsendable_id(follow: Follow) -> None:
    follow.moved("a\x01b")


unreachable, refused, ended = Follow.unreachable, Follow.refused, Follow.ended
lost, waited, unreadable, enough = Follow.lost, Follow.waited, Follow.unreadable, Follow.enough
opened = answered(200)

GIVEN_UP = (CLOSED, Ending.GAVE_UP)
BROKEN = (CLOSED, Ending.BROKEN)
REFUSED = (CLOSED, Ending.REFUSED)
ENDED = (CLOSED, Ending.ENDED)

TABLE: list[tuple[str, Reconnect, list[Step], tuple[State, Ending | None]]] = [
    # connecting
    ("GET", "always", [], (CONNECTING, None)),
    ("GET", "always", [answered(200)], (OPEN, None)),
    ("GET", "always", [answered(200, "text/event-stream; charset=utf-8")], (OPEN, None)),
    ("GET", "always", [answered(204, "")], ENDED),
    *[
        ("GET", mode, [answered(status, "text/html")], (WAITING, None))
        for status in (408, 425, 429, 500, 502, 503, 504)
        for mode in ("always", "on-error")
    ],
    ("POST", "on-error", [answered(503)], (WAITING, None)),
    ("GET", "always", [unreachable], (WAITING, None)),
    ("POST", "on-error", [unreachable], (WAITING, None)),
    *[
        ("GET", "always", [answered(status)], REFUSED)
        for status in (100, 201, 206, 304, 400, 401, 403, 404, 405, 410, 422, 501, 505, 511)
    ],
    ("GET", "always", [answered(200, "text/html")], REFUSED),
    ("GET", "always", [answered(200, "")], REFUSED),
    ("GET", "always", [refused], REFUSED),
    # open
    ("GET", "always", [opened, ended], (WAITING, None)),
    ("GET", "on-error", [opened, ended], ENDED),
    ("GET", "never", [opened, ended], ENDED),
    ("POST", "always", [opened, ended], (WAITING, None)),
    ("POST", "on-error", [opened, ended], ENDED),
    ("GET", "always", [opened, lost], (WAITING, None)),
    ("GET", "on-error", [opened, lost], (WAITING, None)),
    ("POST", "on-error", [opened, lost], BROKEN),
    ("POST", "always", [opened, event, lost], BROKEN),
    ("POST", "on-error", [opened, event_with_id, lost], (WAITING, None)),
    ("POST", "on-error", [opened, event_with_id, event, lost], BROKEN),  # an empty id
    ("POST", "on-error", [opened, event_with_unsendable_id, lost], BROKEN),
    ("GET", "always", [opened, event_with_unsendable_id, lost], (WAITING, None)),
    ("GET", "always", [opened, unreadable], BROKEN),
    ("GET", "always", [opened, enough], ENDED),
    # silence before the answer
    ("GET", "on-error", [lost], (WAITING, None)),
    ("POST", "on-error", [lost], BROKEN),
    # waiting
    ("GET", "always", [unreachable, waited], (CONNECTING, None)),
    ("GET", "always", [unreachable, waited, opened], (OPEN, None)),
    # never
    ("GET", "never", [answered(503)], REFUSED),
    ("GET", "never", [unreachable], GIVEN_UP),
    ("GET", "never", [opened, lost], BROKEN),
]


@pytest.mark.parametrize(("method", "reconnect", "steps", "met"), TABLE)
def test_the_table(
    method: str, reconnect: Reconnect, steps: list[Step], met: tuple[State, Ending | None]
) -> None:
    follow = Follow(Policy(method, reconnect))
    for step in steps:
        step(follow)
    assert (follow.state, follow.ending if follow.state is CLOSED else None) == met


def delays(policy: Policy, *steps: Step, chance: float = 0.0) -> list[float]:
    """The delay after each step that leads to a wait."""
    follow = Follow(policy, chance=lambda: chance)
    found = []
    for step in steps:
        step(follow)
        if follow.state is WAITING:
            found.append(follow.delay)
            follow.waited()
    return found


def told(milliseconds: int) -> Step:
    return lambda follow: follow.told_to_retry_after(milliseconds)


GET = Policy()


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([unreachable] * 6, [3, 6, 12, 24, 30, 30]),
        ([answered(503)] * 3, [3, 6, 12]),
        ([opened, lost] * 3, [3, 6, 12]),
        ([opened, ended] * 3, [3, 6, 12]),  # the head doesn't begin it anew
        ([opened, event, ended] * 3, [3, 3, 3]),
        ([opened, event_with_id, lost, unreachable, unreachable], [3, 6, 12]),
        ([unreachable, unreachable, opened, event, lost], [3, 6, 3]),
        ([answered(503, retry_after=5)] * 2, [5, 5]),
        ([answered(429, retry_after=100), unreachable], [100, 6]),
        ([answered(503, retry_after=1e12)], [LONGEST_DELAY]),
        ([opened, told(100), lost, unreachable, unreachable], [0.1, 0.2, 0.4]),
        ([opened, told(0), lost, lost, lost], [0, 1, 2]),  # no server makes it ask without a pause
        ([opened, told(600), lost, lost], [0.6, 1.2]),
        ([opened, told(60_000), lost, lost], [60, 60]),
        ([opened, told(sys.maxsize), lost], [LONGEST_DELAY]),
    ],
)
def test_delays(steps: list[Step], expected: list[float]) -> None:
    assert delays(GET, *steps) == pytest.approx(expected)


def test_chance_takes_up_to_a_quarter_but_nothing_of_retry_after() -> None:
    assert delays(GET, unreachable, unreachable, chance=0.999999) == pytest.approx([2.25, 4.5])
    assert delays(GET, unreachable, unreachable, chance=0.5) == pytest.approx([2.625, 5.25])
    assert delays(GET, answered(503, retry_after=8), chance=0.5) == [8]


def test_delays_of_a_policy() -> None:
    policy = Policy(retry_delay=0.5, max_retry_delay=3)
    assert delays(policy, *[unreachable] * 4) == [0.5, 1, 2, 3]


def test_a_thousand_retries_are_no_larger() -> None:
    assert set(delays(GET, *[unreachable] * 2000)[5:]) == {30}


@pytest.mark.parametrize(("most", "attempts"), [(0, 1), (1, 2), (3, 4)])
def test_retries_are_limited(most: int, attempts: int) -> None:
    follow = Follow(Policy(max_retries=most))
    asked = 0
    while follow.state is not CLOSED:
        asked += 1
        follow.unreachable()
        if follow.state is WAITING:
            follow.waited()
    assert (asked, follow.ending) == (attempts, Ending.GAVE_UP)


def test_an_event_begins_the_retries_anew() -> None:
    follow = Follow(Policy(max_retries=1))
    for _ in range(3):
        follow.answered(200, STREAM)
        follow.moved("1")
        follow.lost()
        assert follow.state is WAITING
        follow.waited()
    follow.unreachable()
    assert (follow.state, follow.ending) == GIVEN_UP


def test_a_post_that_begins_after_an_id_can_be_resumed() -> None:
    follow = Follow(Policy("POST", "on-error"), "41")
    follow.answered(200, STREAM)
    follow.lost()
    assert follow.state is WAITING


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream", True),
        (" text/event-stream ; charset=utf-8", True),
        ("text/event-stream;x", True),
        ("text/event-streams", False),
        ("text/html; text/event-stream", False),
        ("", False),
    ],
)
def test_the_type_of_an_event_stream(content_type: str, expected: bool) -> None:
    assert is_event_stream(content_type) is expected
