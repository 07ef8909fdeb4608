"""`StreamTemplate`: what the streams of an endpoint have in common, made for the first of them."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary, ref

from sse_middleware.items.control_frames import ControlFrameRules
from sse_middleware.items.hints import ItemHints
from sse_middleware.items.item_encoding import ItemEncoding
from sse_middleware.items.item_type import ItemType, ItemTypes
from sse_middleware.settings import StreamSettings


class StreamTemplate:
    """Never changes once it is made, except that `hints` count.

    Args:
        settings: the streams' settings.
        item_type: the type that validates and filters data.
        origin: the name of what yields the items, for error messages.
        options: Pydantic's options for dumping, which the route has set.
        reported: what was reported about the items of the endpoint.
    """

    __slots__ = ("control", "encoding", "hints", "hints_for_scripts", "origin")

    def __init__(
        self,
        settings: StreamSettings,
        item_type: ItemType | None,
        origin: str,
        options: Mapping[str, Any],
        reported: set[str],
    ) -> None:
        self.origin = origin
        self.encoding = ItemEncoding(settings, item_type, origin, options)
        """How items become bytes."""
        self.control = ControlFrameRules(settings, options)
        """How control frames are made."""
        self.hints = ItemHints(origin, reported, event_source=settings.preset is None)
        """Reports mistakes in items for clients that may be a browser's ``EventSource``."""
        self.hints_for_scripts = ItemHints(origin, reported, event_source=False)
        """The same for all other clients."""


_Known = tuple[Callable[[], Any], tuple[Any, ...], StreamTemplate]
"""A reference to the route of a template, what else it is made from, and the template."""


class StreamTemplates:
    """The latest template of each endpoint. The streams of an endpoint are nearly always alike."""

    def __init__(self) -> None:
        self.item_types = ItemTypes()
        self._control: ControlFrameRules | None = None
        self._latest: WeakKeyDictionary[Any, _Known] = WeakKeyDictionary()

    def control_of(self, settings: StreamSettings) -> ControlFrameRules:
        """Return how the control frames of adopted streams are made."""
        if self._control is None or self._control.settings is not settings:
            self._control = ControlFrameRules(settings)
        return self._control

    def latest(self, endpoint: Any, route: Any, source: tuple[Any, ...]) -> StreamTemplate | None:
        """Return the latest template of an endpoint if it was made from the same.

        Args:
            endpoint: what the scope names.
            route: the endpoint's, or ``None``.
            source: what else a template is made from.
        """
        try:
            known = self._latest.get(endpoint)
        except TypeError:  # there is no endpoint, or no weak reference to it
            return None
        if known is None or known[0]() is not route or known[1] != source:
            return None
        return known[2]

    def keep(
        self, endpoint: Any, route: Any, source: tuple[Any, ...], template: StreamTemplate
    ) -> None:
        """Keep the template for `latest`, if there are weak references to endpoint and route.

        The route keeps the endpoint alive, so it isn't kept.
        """
        with suppress(TypeError):
            self._latest[endpoint] = (_nothing if route is None else ref(route)), source, template


def _nothing() -> None:
    """Be a reference to no route."""
