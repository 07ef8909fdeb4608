"""`RunEncoder`: encodes the items of a run. Its events get their ids from the hub."""

from collections.abc import Callable
from typing import Any

from sse_middleware.errors import EncodingError
from sse_middleware.events import ServerSentEvent
from sse_middleware.items.hints import TAKEN_NAMES, ItemHints
from sse_middleware.items.item_encoding import ItemEncoding
from sse_middleware.items.serialization import ItemEncoder

_ID = b"id:"


class RunEncoder(ItemEncoder):
    """Encodes the items of one run. ``None`` becomes nothing, because a run has no keep-alives.

    Args:
        encoding: how items become bytes.
        hints: reports what looks like a mistake.
    """

    __slots__ = ()

    def __init__(self, encoding: ItemEncoding, hints: ItemHints) -> None:
        super().__init__(encoding, hints=hints)

    def encode_event(self, item: ServerSentEvent) -> bytes:
        """Return the bytes of an event without an id. Raises why it can't be sent."""
        self._refuse_id(item)
        return super().encode_event(item)

    def _preset_event(
        self, item: Any, to_event: Callable[[Any], ServerSentEvent]
    ) -> ServerSentEvent:
        event = super()._preset_event(item, to_event)
        self._refuse_id(event)
        if event.event in TAKEN_NAMES:
            self._report_name(event.event)
        return event

    def _refuse_id(self, event: ServerSentEvent) -> None:
        if event.id is not None:
            raise EncodingError(
                f"{self._encoding.endpoint} gave an event with an id, and a hub gives its own ids, "
                "which are positions in it: put yours into the data"
            )


def without_id(frame: bytes) -> bytes:
    """Return a control frame without its id, ``b""`` if it has nothing else."""
    lines = [line for line in frame.split(b"\n") if not line.startswith(_ID)]
    return b"\n".join(lines) if any(lines) else b""
