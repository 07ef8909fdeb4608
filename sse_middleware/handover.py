"""What the middleware leaves in the scope for the responses below it.

A scope key passes every middleware between the two, which a message type of our own would not: some
drop what they don't know, others fail on it.
"""

from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from starlette.types import Scope

from sse_middleware.connection import Connection
from sse_middleware.payload import ItemType
from sse_middleware.settings import StreamSettings

SCOPE_KEY = "sse_middleware"
"""The key of the scope under which a `Handover` lies."""


class ItemTypes:
    """The item types of endpoints, each compiled when its first stream starts."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Any, ItemType | None] = WeakKeyDictionary()

    def of(self, endpoint: Any) -> ItemType | None:
        """Return what the endpoint's return annotation names."""
        try:
            return self._known[endpoint]
        except KeyError:
            item_type = self._known[endpoint] = ItemType.of_endpoint(endpoint)
            return item_type
        except TypeError:  # no weak references to it, or no hash
            return ItemType.of_endpoint(endpoint)


@dataclass(slots=True, eq=False)
class Handover:
    """One request's policy and connection. Fresh for each request."""

    connection: Connection
    settings: StreamSettings
    item_types: ItemTypes
    claimed: bool = field(default=False)
    """Set by the response that streams: the middleware has nothing to adopt."""

    @classmethod
    def find(cls, scope: Scope) -> "Handover | None":
        """Return the handover of the innermost middleware, if there is one."""
        return scope.get(SCOPE_KEY)
