"""What the middleware leaves in the scope for the responses below it.

A scope key passes every middleware between the two, which a message type of our own would not: some
drop what they don't know, others fail on it.
"""

from dataclasses import dataclass

from starlette.types import Scope

from sse_middleware.connection import Connection
from sse_middleware.item_type import ItemTypes
from sse_middleware.settings import StreamSettings

SCOPE_KEY = "sse_middleware"
"""The key of the scope under which a `Handover` lies."""


@dataclass(slots=True, eq=False)
class Handover:
    """One request's policy and connection. Fresh for each request."""

    connection: Connection
    settings: StreamSettings
    item_types: ItemTypes
    outer: "Handover | None" = None
    claimed: bool = False

    def claim(self) -> None:
        """Say that the response is a stream of this package, to the middlewares outside too."""
        handover: Handover | None = self
        while handover is not None:
            handover.claimed = True
            handover = handover.outer

    @classmethod
    def find(cls, scope: Scope) -> "Handover | None":
        """Return the handover of the innermost middleware, if there is one."""
        return scope.get(SCOPE_KEY)
