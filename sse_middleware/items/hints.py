"""Reports mistakes that the items of a stream reveal, each once for an endpoint.

Rules of this file:
- Nothing is changed and nothing is refused: what looks like a mistake may be meant.
- The keys of an item are shown, and its values are not.
"""

import logging
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Annotated, Any, get_args, get_origin

from sse_middleware.items.annotations import UNIONS, without_alias
from sse_middleware.items.item_type import ItemType

logger = logging.getLogger(__name__)

DICTS_LOOKED_AT = 20
"""How many dicts of each endpoint are looked at. The later ones cost nothing."""

ERROR = "error"
"""The name of an event that a browser's ``EventSource`` makes itself."""

GAP = "gap"
"""The name of an event that a hub makes itself."""

TAKEN_NAMES = frozenset((ERROR, GAP))
"""Names of events that a client may take for others."""

_FIELDS = frozenset(("event", "data", "id", "retry", "comment"))

_TELLING = frozenset(("event", "data", "retry"))
"""Fields that hint at an event. An `id` or a `comment` is common in plain data, too."""


class ItemHints:
    """Reports mistakes in the items of an endpoint. All of its streams share it.

    Args:
        endpoint: the name of the items' origin.
        reported: what was reported before. New reports are added to it.
        event_source: whether the client may be a browser's ``EventSource``.
        of_hub: whether a hub sends them.
    """

    __slots__ = ("_endpoint", "_of_hub", "_reported", "dicts", "event_source")

    def __init__(
        self, endpoint: str, reported: set[str], *, event_source: bool, of_hub: bool = False
    ) -> None:
        self._endpoint = endpoint
        self._reported = reported
        self.event_source = event_source
        self._of_hub = of_hub
        self.dicts = DICTS_LOOKED_AT
        """How many more dicts are to be looked at."""

    def look_at(self, item: Any, item_type: ItemType | None) -> bool:
        """Look at an item. Returns whether to look at the next one of its type, too."""
        if not isinstance(item, dict) or self.dicts <= 0:
            return False
        self._look_at_dict(item, item_type)
        self.dicts -= 1
        return self.dicts > 0

    def _look_at_dict(self, item: Any, item_type: ItemType | None) -> None:
        """Report a dict that another library takes for the fields of an event."""
        is_event = _FIELDS.issuperset(item) and not _TELLING.isdisjoint(item)
        if is_event and (item_type is None or _allows_dicts(item_type.annotation)):
            self._report(
                "%s sends a dict with the keys %s. It becomes data, in JSON, and sets no field "
                "of the event: use ServerSentEvent(%s) for that. (Import from "
                "sse_middleware.compat.sse_starlette to keep code for sse-starlette.)",
                ", ".join(item),
                ", ".join(f"{key}=..." for key in item),
            )

    def look_at_name(self, name: str | None) -> None:
        """Report an event that a client can't tell from one that has another origin."""
        if name == ERROR and self.event_source:
            self._report(
                "%s sends an event named 'error'. A browser's EventSource also fires an event of "
                "that name when the connection is lost, and calls the same listeners: give the "
                "event another name"
            )
        elif name == GAP and self._of_hub:
            self._report(
                "%s sends an event named 'gap'. A hub sends events of that name itself, where "
                "others may be missing, and clients call the same listeners for both: give the "
                "event another name"
            )

    def _report(self, message: str, *details: str) -> None:
        key = f"{self._endpoint} {message}"
        if key not in self._reported:
            self._reported.add(key)
            logger.warning(message, self._endpoint, *details)


_REPORTED = "__sse_reported__"
"""The attribute of an endpoint that keeps what was reported about it."""


def reported_about(endpoint: Any) -> set[str]:
    """Return what was reported about an endpoint, for a stream without the middleware."""
    owner = getattr(endpoint, "__func__", endpoint)  # a bound method takes no attributes
    reported: set[str] = getattr(owner, _REPORTED, set())
    with suppress(AttributeError, TypeError):  # then it is reported for each stream
        setattr(owner, _REPORTED, reported)
    return reported


def _allows_dicts(annotation: Any) -> bool:
    """Whether a declared type takes any dict. A model or a TypedDict names its fields itself."""
    annotation = without_alias(annotation)
    origin = get_origin(annotation)
    if origin is Annotated:
        return _allows_dicts(annotation.__origin__)
    if origin in UNIONS:
        return any(map(_allows_dicts, get_args(annotation)))
    kind = origin or annotation
    return isinstance(kind, type) and kind in (dict, Mapping, MutableMapping, object)
