"""What is published, and where: topics' names, and items as the bytes of events.

Rules of this file:
- A topic's name is text of 1 to `LONGEST_NAME` characters, none of them a control character.
- An item becomes the bytes of an event once, for all subscribers. It is what a stream may yield,
  except that it has no id: the hub's is in its place.
- What can't be encoded is refused where it is published.
"""

import re
from math import inf
from typing import Any

from sse_middleware.errors import EncodingError, TopicError, printable
from sse_middleware.events import ServerSentEvent
from sse_middleware.items.hints import TAKEN_NAMES, ItemHints
from sse_middleware.items.item_encoding import ItemEncoding
from sse_middleware.items.serialization import ItemEncoder
from sse_middleware.settings import StreamSettings
from sse_middleware.validation import check
from sse_middleware.wire.encoding import check_single_line, to_utf8

LONGEST_NAME = 255
"""Characters of a topic's name."""

_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")

_NAMED = b"event: "


def check_topic(topic: object, what: str = "a topic", longest: int = LONGEST_NAME) -> str:
    """Return a topic's name. Raises `TopicError` if it can't be one."""
    if isinstance(topic, str) and 0 < len(topic) <= longest and not _CONTROL.search(topic):
        return topic
    raise TopicError(
        f"{what} must be a str of 1 to {longest} characters without control characters and "
        f"lone surrogates, got {printable(repr(topic))}"
    )


def check_once(once: object) -> None:
    """Refuse a text that can't name an event. Raises `ConfigurationError`."""
    named = once is None or (isinstance(once, str) and once != "")
    check("once", once, named, "a text that names the event")


class EventEncoder:
    """Encodes items without ids, and reports what looks like a mistake."""

    __slots__ = ("_hints", "_items")

    def __init__(self) -> None:
        self._hints = ItemHints("publish", set(), event_source=True, of_hub=True)
        # One publisher's items say nothing of the keys of another one's.
        encoding = ItemEncoding(StreamSettings(), None, "publish", looks=inf)
        self._items = ItemEncoder(encoding, hints=self._hints)

    def encode(self, item: Any, event: str | None) -> bytes:
        """Return the bytes of an event.

        Args:
            item: a `ServerSentEvent` without an id, or data.
            event: the name of the event.

        Raises:
            EncodingError: the item is refused.
            FieldError: the name is.
        """
        if item is None:
            raise EncodingError(
                "publish got None, which is no event: publish ServerSentEvent(raw_data='null') for "
                "a null, or ServerSentEvent(event=...) for an event without data"
            )
        if isinstance(item, ServerSentEvent) and item.id is not None:
            raise EncodingError(
                f"publish got an event with the id {printable(repr(item.id))}, and a hub gives its "
                "own ids, which are positions in it: put yours into the data"
            )
        block = self._items.encode(item)
        if event is None:
            return block
        named = _with_name(block, event)
        if event in TAKEN_NAMES:
            self._hints.look_at_name(event)
        return named


def _with_name(block: bytes, event: str) -> bytes:
    """Name an event. Raises `EncodingError` if it has another name."""
    name = _NAMED + to_utf8("event", check_single_line("event", event))
    lines = block.split(b"\n")
    own = next((line for line in lines if line.startswith(_NAMED)), name)
    if own != name:
        raise EncodingError(
            f"publish got event={event!r}, and an item that names its event "
            f"{own.removeprefix(_NAMED).decode()!r}: leave out event="
        )
    return block if name in lines else b"%b\n%b" % (name, block)
