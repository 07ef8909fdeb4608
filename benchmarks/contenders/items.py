"""The event that every contender sends.

The item is built once. Building a dict costs about as much as sending it does in the fastest
contender, and it is the library that is to be measured.
"""

import json
from typing import Any

from pydantic import BaseModel

ITEM: dict[str, Any] = {"id": 17, "name": "widget", "price": 12.5, "ok": True}
"""A small item of four fields."""

FRAME = b"data: %b\n\n" % json.dumps(ITEM, separators=(",", ":")).encode()
"""The item as the bytes of one event."""


class Widget(BaseModel):
    """The type of the item, for endpoints that declare one."""

    id: int
    name: str
    price: float
    ok: bool
