"""A sink that keeps the frames that a producer puts, and the encoder of these tests."""

from typing import Any

import anyio

from sse_middleware.items.item_encoding import ItemEncoding
from sse_middleware.items.serialization import ItemEncoder
from sse_middleware.settings import StreamSettings
from sse_middleware.wire.encoding import encode_data


class Frames(list[bytes]):
    """A sink that is full after every `full` frames, and may never have room again."""

    def __init__(self, full: int = 10**9, *, room: bool = True) -> None:
        super().__init__()
        self.full = full
        self.more = room
        self.waits = 0
        self.texts: list[bytes] = []
        self.size = self.look_at = 0
        self.closed = False
        self.frame_texts: Any = encode_data

    def put_in_steps(self) -> None:
        """Change nothing: nobody has to be woken up here."""

    def is_full(self) -> bool:
        return self.put(encode_data([self.texts.pop()]))

    def put(self, frame: bytes, events: int = 1) -> bool:
        self.append(frame)
        return len(self) % self.full == 0

    async def room(self) -> bool:
        self.waits += 1
        await anyio.lowlevel.checkpoint()
        return self.more


def text_only(item: Any) -> str:
    if isinstance(item, str):
        return item
    raise TypeError("no text")


encoder = ItemEncoder(ItemEncoding(StreamSettings(serializer=text_only), None, "endpoint"))


def frames(*texts: str) -> list[bytes]:
    return [encode_data([text.encode()]) for text in texts]
