"""`KeyLook`: looks at the keys of the dicts in data, which Pydantic may name wrongly.

Rules of this file:
- To look at every key of every dict would cost a third of a burst's speed. So only the first
  `LOOKED_AT` items are looked at. If all their keys are strings, those of later items are assumed
  to be strings, too.
- Most items are flat dicts. A look at one takes half a microsecond.
"""

from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from sse_middleware.items.data_encoders import SCALARS, check_size, item_may_have_odd_keys
from sse_middleware.wire.encoding import FRAMING, escaped_json
from sse_middleware.wire.json_text import has_odd_keys, is_flat, refuse_same_names, with_names

LOOKED_AT = 1000
"""How many items of a stream are looked at: some milliseconds of work."""


class KeyLook:
    """Turns the data of one stream into text, with keys named as FastAPI names them.

    Args:
        to_text: turns data into text, with keys named as Pydantic names them.
        looks: how many items are looked at.
        typed: whether `to_text` validates data, so that only equal names can be refused.
        options: Pydantic's options for dumping.
        max_size: how many bytes an event may have.
    """

    __slots__ = ("_max_size", "_options", "_to_text", "_typed", "_usual", "looks")

    def __init__(
        self,
        to_text: Callable[..., bytes],
        looks: float,
        *,
        typed: bool,
        options: Mapping[str, Any],
        max_size: int | None,
    ) -> None:
        self._to_text = to_text
        self.looks = looks
        """How many more items are to be looked at. A producer may have looked at some more."""
        self._typed = typed
        self._options = options
        self._max_size = max_size
        self._usual: tuple[type, ...] = SCALARS  # types without odd keys

    def learn(self, item: Any) -> None:
        """Remember the type of an item, if its dicts can only have strings as keys."""
        if not item_may_have_odd_keys(item):
            self._usual = (type(item), *self._usual)

    def text(self, item: Any, *, by_alias: bool) -> bytes:
        """Look at an item, and return its text."""
        if not self.trusts(item) and self.is_odd(item):
            return self._named_text(item, by_alias=by_alias)
        return self._to_text(item, by_alias=by_alias)

    def trusts(self, value: Any) -> bool:
        """Whether data needs no look beyond this one."""
        if self.looks <= 0:
            return True
        if not (is_flat(value) or type(value) in self._usual):
            return False
        self.looks -= 1
        return True

    def is_odd(self, value: Any) -> bool:
        """Look at the keys of data. If one is odd, all later data is looked at."""
        if self.looks <= 0:
            return False
        odd = has_odd_keys(value)
        self.looks = inf if odd else self.looks - 1
        return odd

    def _named_text(self, item: Any, *, by_alias: bool) -> bytes:
        if self._typed:
            refuse_same_names(item)
            return self._to_text(item, by_alias=by_alias)
        text = with_names(item, self._options)
        if self._max_size is not None:
            check_size(len(escaped_json(text)) + FRAMING, self._max_size)
        return text
