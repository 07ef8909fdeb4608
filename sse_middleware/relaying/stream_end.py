"""`StreamEnd`: the event that is the last one of a complete stream."""

from dataclasses import dataclass
from typing import Self

from sse_middleware.errors import ConfigurationError
from sse_middleware.events import ServerSentEvent
from sse_middleware.wire.json_text import to_json


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """What is known of the last event of a stream. A field that is ``None`` may be anything."""

    name: str | None
    data: str | None

    @classmethod
    def of(cls, value: object) -> Self | None:
        """Make it from the data of the event, or from the event. ``None`` stays ``None``.

        Raises:
            ConfigurationError: it is something else, or says nothing of the event.
        """
        if value is None:
            return None
        if isinstance(value, str):
            return cls(None, value)
        if isinstance(value, ServerSentEvent):
            data = value.raw_data if value.data is None else to_json(value.data).decode()
            if data is not None or value.event is not None:
                return cls(value.event, data)
        raise ConfigurationError(
            "end must be the data of the last event, a ServerSentEvent with an event or data, or "
            f"None, got {value!r}"
        )

    def matches(self, event: ServerSentEvent) -> bool:
        """Whether an event that was read is this one."""
        named = self.name is None or (event.event or "message") == self.name
        return named and (self.data is None or event.raw_data == self.data)
