"""`ClientStream`: what the written client knows of a stream."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sse_middleware.items.item_type import ItemType


@dataclass(frozen=True, slots=True)
class Operation:
    """What an OpenAPI document says about the request of a stream.

    Attributes:
        described: the operation, as the document has it.
        schemas: the components that its schemas refer to.
    """

    described: Mapping[str, Any]
    schemas: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClientStream:
    """What the written client knows of a stream.

    Attributes:
        item_type: the declared type of its items, ``None`` for anything.
        tells_gaps: whether there may be ``gap`` events of a hub.
        idle_timeout: seconds of silence after which the connection is lost, ``None`` for no limit.
        last: the name and the data of the event that ends it, ``None`` if there is none.
        operation: describes the request, ``None`` if nothing does.
    """

    item_type: ItemType | None = None
    tells_gaps: bool = False
    idle_timeout: float | None = None
    last: tuple[str, str] | None = None
    operation: Operation | None = None
