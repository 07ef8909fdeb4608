"""The event that every contender sends.

The item is built once. In the fastest contender, building a dict costs about as much as sending it,
and the benchmark measures the library.
"""

import json
from typing import Any

from pydantic import BaseModel

ITEM: dict[str, Any] = {"id": 17, "name": "widget", "price": 12.5, "ok": True}
"""A small item of four fields."""

FRAME = b"data: %b\n\n" % json.dumps(ITEM, separators=(",", ":")).encode()
"""The bytes of one event with that item."""


class Widget(BaseModel):
    """The type of the item, for endpoints that declare one."""

    id: int
    name: str
    price: float
    ok: bool
