"""`PublishedEvent`: an event as filters and readers see it."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from sse_middleware.errors import printable

_REMEMBERED = 256
"""How many events are not read again for the next filter."""


@dataclass(frozen=True, slots=True)
class PublishedEvent:
    """An event that was published.

    Attributes:
        topic: where.
        id: its id.
        event: its name, ``None`` without one.
        data: its data as text, ``""`` without any.
    """

    topic: str
    id: str
    event: str | None
    data: str

    def json(self) -> Any:
        """Return the data as a client reads it from JSON.

        Raises:
            ValueError: it is not JSON. The message shows it.
        """
        try:
            return from_json(self.data)
        except ValueError as error:
            raise ValueError(f"the data is not JSON: {printable(self.data)}: {error}") from error


def read_block(topic: str, block: bytes) -> PublishedEvent:
    """Return the event of a block that the hub has written."""
    fields: dict[str, list[str]] = {}
    for line in block.decode().split("\n"):
        name, _, value = line.partition(": ")
        fields.setdefault(name, []).append(value)
    return PublishedEvent(
        topic,
        fields.get("id", [""])[-1],
        fields.get("event", [None])[-1],
        "\n".join(fields.get("data", [])),
    )


class ReadEvents:
    """Reads events for filters, each once for all who look at it at about the same time."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found = OrderedDict[bytes, PublishedEvent]()

    def of(self, topic: str, block: bytes) -> PublishedEvent:
        """Return the event of a block with its id."""
        found = self._found.get(block)
        if found is None:
            found = self._found[block] = read_block(topic, block)
            if len(self._found) > _REMEMBERED:
                self._found.popitem(last=False)
        return found
