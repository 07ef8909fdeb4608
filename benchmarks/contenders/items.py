"""The event that every contender sends.

The item is built once. In the fastest contender, building a dict costs about as much as sending it,
and the benchmark measures the library.
"""

import json
from asyncio import Queue
from time import monotonic_ns
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


def token() -> dict[str, Any]:
    """Return the item of one token, with the moment at which it is yielded."""
    return {"id": 17, "at": monotonic_ns(), "token": " word"}


def token_frame() -> bytes:
    """Return the bytes of one event with such an item."""
    return b'data: {"id":17,"at":%d,"token":" word"}\n\n' % monotonic_ns()


QUEUES: set[Queue[dict[str, Any]]] = set()
"""One for each stream that is fed by a queue."""


def feed(count: int) -> None:
    """Put a burst of items into all queues."""
    for queue in QUEUES:
        for _ in range(count):
            queue.put_nowait(token())
