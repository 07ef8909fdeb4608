"""`KeyLook`: looks at the keys of the dicts in data, which Pydantic may name wrongly.

Rules of this file:
- To look at every key of every dict would cost a third of a burst's speed. So only the first items
  are looked at. If all their keys are strings, those of later items are assumed to be strings, too.
- Most items are flat dicts. A look at one takes half a microsecond.
"""

from math import inf
from typing import Any

from sse_middleware.items.data_encoders import check_size, item_may_have_odd_keys
from sse_middleware.items.item_encoding import ItemEncoding
from sse_middleware.wire.encoding import FRAMING, escaped_json
from sse_middleware.wire.json_text import KEYLESS, has_odd_keys, refuse_same_names, with_names


class KeyLook:
    """Turns the data of one stream into text, with keys named as FastAPI names them.

    Args:
        encoding: how the endpoint's items become bytes.
    """

    __slots__ = ("_encoding", "_usual", "looks")

    def __init__(self, encoding: ItemEncoding) -> None:
        self._encoding = encoding
        self.looks: float = encoding.looks
        """How many more items are to be looked at. A producer may have looked at some more."""
        self._usual = KEYLESS  # types without odd keys

    def learn(self, item: Any) -> None:
        """Remember the type of an item, if its dicts can only have strings as keys."""
        if not item_may_have_odd_keys(item):
            self._usual = self._usual | {type(item)}

    def text(self, item: Any, *, by_alias: bool) -> bytes:
        """Look at an item, and return its text."""
        if not self.trusts(item) and self.is_odd(item):
            return self._named_text(item, by_alias=by_alias)
        return self._encoding.text(item, by_alias=by_alias)

    def trusts(self, value: Any) -> bool:
        """Whether data needs no look beyond this one."""
        if self.looks <= 0:
            return True
        if type(value) is dict:
            for key in value:  # quicker than `items` for so few
                if type(key) is not str or type(value[key]) not in KEYLESS:
                    return False
        elif type(value) not in self._usual:
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
        encoding = self._encoding
        if encoding.item_type is not None:  # it validates, so equal names can only be refused
            refuse_same_names(item)
            return encoding.text(item, by_alias=by_alias)
        text = with_names(item, encoding.options)
        if encoding.max_size is not None:
            check_size(len(escaped_json(text)) + FRAMING, encoding.max_size)
        return text
