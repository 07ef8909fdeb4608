"""`StreamTemplate`: what the streams of an endpoint have in common, made for the first of them."""

from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary, ref

from sse_middleware.items.control_frames import ControlFrameRules
from sse_middleware.items.item_encoding import ItemEncoding
from sse_middleware.items.item_type import ItemType, ItemTypes
from sse_middleware.settings import StreamSettings


class StreamTemplate:
    """Never changes once it is made.

    Args:
        settings: the streams' settings.
        item_type: the type that validates and filters data.
        origin: the name of what yields the items, for error messages.
        options: Pydantic's options for dumping, which the route has set.
    """

    __slots__ = ("control", "encoding", "origin")

    def __init__(
        self,
        settings: StreamSettings,
        item_type: ItemType | None,
        origin: str,
        options: Mapping[str, Any],
    ) -> None:
        self.origin = origin
        self.encoding = ItemEncoding(settings, item_type, origin, options)
        """How items become bytes."""
        self.control = ControlFrameRules(settings, options)
        """How control frames are made."""


class StreamTemplates:
    """The latest template of each endpoint. The streams of an endpoint are nearly always alike."""

    def __init__(self) -> None:
        self.item_types = ItemTypes()
        self._control: ControlFrameRules | None = None
        self._latest: WeakKeyDictionary[Any, tuple[tuple[Any, ...], StreamTemplate]] = (
            WeakKeyDictionary()
        )

    def control_of(self, settings: StreamSettings) -> ControlFrameRules:
        """Return how the control frames of adopted streams are made."""
        if self._control is None or self._control.settings is not settings:
            self._control = ControlFrameRules(settings)
        return self._control

    def of(
        self,
        endpoint: Any,
        route: Any,
        source: tuple[Any, ...],
        make: Callable[[], StreamTemplate],
    ) -> StreamTemplate:
        """Return the template of an endpoint.

        Args:
            endpoint: what the scope names.
            route: the endpoint's, or ``None``. It keeps the endpoint alive, so it isn't kept.
            source: what else the template is made from.
            make: makes the template, unless the latest one has the same route and source.
        """
        try:
            source = (*source, route and ref(route))
            known = self._latest.get(endpoint)
        except TypeError:  # there is no endpoint, or no weak reference to one of the two
            return make()
        if known is None or known[0] != source:
            known = self._latest[endpoint] = source, make()
        return known[1]
