"""Keep-alives, and the last event of a stream that failed."""

import math
from typing import Any

import pytest

from sse_middleware.errors import ConfigurationError
from sse_middleware.events import KEEPALIVE_COMMENT, ServerSentEvent
from tests.items.encoding import Item, control_frames, data, encode


@pytest.mark.parametrize(
    ("options", "frame"),
    [
        ({}, KEEPALIVE_COMMENT),
        ({"ping": "ping"}, b": ping\n\n"),
        ({"ping": ""}, b": \n\n"),
        ({"ping": "still\nhere"}, b": still\n: here\n\n"),
        ({"ping": ServerSentEvent(event="ping")}, b"event: ping\n\n"),
        ({"ping": ServerSentEvent(data={"a": math.nan})}, data(b'{"a":null}')),
        ({"ping": ServerSentEvent(data={"a": 1}), "serializer": repr}, data(b"{'a': 1}")),
        ({"ping": lambda: "ping"}, b": ping\n\n"),
        ({"ping": lambda: "now"}, b": now\n\n"),
        ({"ping": lambda: ServerSentEvent(event="m", data=1)}, b"event: m\ndata: 1\n\n"),
    ],
)
def test_a_keep_alive_is_a_comment_or_an_event(options: dict[str, Any], frame: bytes) -> None:
    assert control_frames(**options).ping() == frame
    assert encode(None, **options) == frame
    assert encode(None, Item, **options) == frame


def test_a_factory_makes_each_keep_alive() -> None:
    numbers = iter(range(9))
    control = control_frames(ping=lambda: str(next(numbers)))
    assert [control.ping(), control.ping()] == [b": 0\n\n", b": 1\n\n"]


@pytest.mark.parametrize("nonsense", [None, 5, b"ping", ["ping"], {"event": "ping"}])
def test_anything_else_that_a_factory_returns_is_refused(nonsense: Any) -> None:
    message = "ping must return a str or a ServerSentEvent"
    with pytest.raises(ConfigurationError, match=message) as caught:
        control_frames(ping=lambda: nonsense).ping()
    assert str(caught.value).endswith(f"got {nonsense!r}")


def test_what_a_factory_raises_passes() -> None:
    def broken() -> str:
        raise LookupError

    with pytest.raises(LookupError):
        encode(None, ping=broken)


@pytest.mark.parametrize(
    ("error_event", "frame"),
    [
        (None, b""),
        (lambda _: None, b""),
        (lambda error: {"error": str(error)}, b'data: {"error":"no"}\n\n'),
        (
            lambda error: ServerSentEvent(event="error", data=type(error).__name__),
            b'event: error\ndata: "LookupError"\n\n',
        ),
    ],
)
def test_an_exception_is_mapped_to_a_last_event(error_event: Any, frame: bytes) -> None:
    assert control_frames(error_event=error_event).of_error(LookupError("no")) == frame
