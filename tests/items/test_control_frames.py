"""Keep-alives, and the last event of a stream that failed."""

import math
from typing import Any

import pytest

from sse_middleware.errors import ConfigurationError
from sse_middleware.events import KEEPALIVE_COMMENT, ServerSentEvent
from sse_middleware.items.item_encoding import ItemEncoding
from sse_middleware.items.serialization import ItemEncoder
from sse_middleware.presets import Preset
from sse_middleware.records import CloseReason
from sse_middleware.settings import StreamSettings
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


# The blank line after a comment

BARE = KEEPALIVE_COMMENT[:-1]


@pytest.mark.parametrize(
    ("options", "before", "after"),
    [
        ({}, KEEPALIVE_COMMENT, BARE),
        ({"ping_blank_line": True}, KEEPALIVE_COMMENT, KEEPALIVE_COMMENT),
        ({"ping_blank_line": False}, BARE, BARE),
        ({"ping": "a\nb"}, b": a\n: b\n\n", b": a\n: b\n"),
        ({"ping": lambda: "now"}, b": now\n\n", b": now\n"),
        ({"ping": ServerSentEvent(comment="a\nb")}, b": a\n: b\n\n", b": a\n: b\n"),
        ({"ping": lambda: ServerSentEvent(comment="x")}, b": x\n\n", b": x\n"),
        (
            {"ping": ServerSentEvent(comment="x"), "ping_blank_line": False},
            b": x\n",
            b": x\n",
        ),
        (
            {"ping": ServerSentEvent(comment="x", retry=1)},
            b": x\nretry: 1\n\n",
            b": x\nretry: 1\n\n",
        ),
        ({"ping": "x", "ping_blank_line": True}, b": x\n\n", b": x\n\n"),
        ({"ping": "x", "ping_blank_line": False}, b": x\n", b": x\n"),
        ({"ping": ServerSentEvent(event="m")}, b"event: m\n\n", b"event: m\n\n"),
        (
            {"ping": ServerSentEvent(event="m"), "ping_blank_line": False},
            b"event: m\n\n",
            b"event: m\n\n",
        ),
    ],
)
@pytest.mark.parametrize("asked", [True, False], ids=["asked before", "not asked"])
def test_a_comment_ends_without_a_blank_line_once_an_id_was_sent(
    options: dict[str, Any], before: bytes, after: bytes, asked: bool
) -> None:
    control = control_frames(**options)
    if asked:
        assert control.ping() == before
        assert control.same_ping in (b"", before)
    control.id_sent()
    assert control.same_ping in (b"", after)
    assert control.ping() == after


@pytest.mark.parametrize(
    ("item", "before", "after"),
    [
        (ServerSentEvent(comment="bye"), b": bye\n\n", b": bye\n"),
        (ServerSentEvent(comment="bye", retry=1), *[b": bye\nretry: 1\n\n"] * 2),
        (ServerSentEvent(event="bye"), *[b"event: bye\n\n"] * 2),
    ],
)
def test_so_does_a_farewell_that_is_a_comment(item: Any, before: bytes, after: bytes) -> None:
    control = control_frames(farewell=lambda _: item)
    assert control.farewell(CloseReason.DRAINED) == before
    control.id_sent()
    assert control.farewell(CloseReason.DRAINED) == after


@pytest.mark.parametrize(
    ("item", "counts"),
    [
        (ServerSentEvent(id="1", data=1), True),
        (ServerSentEvent(id="1"), True),
        (ServerSentEvent(id="", data=1), False),
        (ServerSentEvent(data=1), False),
        ({"id": "1"}, False),
        (None, False),
    ],
)
@pytest.mark.parametrize("preset", [None, Preset(to_event=lambda _: ServerSentEvent(data=1))])
def test_an_id_is_noted_when_its_event_is_encoded(item: Any, counts: bool, preset: Any) -> None:
    control = control_frames(preset=preset)
    settings = StreamSettings(preset=preset)
    encoder = ItemEncoder(ItemEncoding(settings, None, ""), control)
    for _ in range(2):
        encoder.encode(item)
        assert encoder.encode(None) == (BARE if counts else KEEPALIVE_COMMENT)


@pytest.mark.parametrize("field", ["first", "last"])
def test_an_event_of_a_preset_may_have_the_id(field: str) -> None:
    event: Any = {field: ServerSentEvent(id="1")}
    control = control_frames(preset=Preset(**event))
    assert getattr(control, field)() == b"id: 1\n\n"
    assert control.ping() == BARE


def test_an_id_that_a_preset_gives_counts() -> None:
    preset = Preset(to_event=lambda item: ServerSentEvent(data=item, id="7"))
    control = control_frames(preset=preset)
    encoding = ItemEncoding(StreamSettings(preset=preset), None, "")
    encoder = ItemEncoder(encoding, control)
    encoder.encode({})
    assert control.ping() == BARE
