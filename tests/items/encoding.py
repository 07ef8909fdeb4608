"""Encoding one item as a stream of some settings does, and models to encode."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field
from typing_extensions import TypedDict  # Pydantic takes no other before Python 3.12

from sse_middleware.events import ServerSentEvent
from sse_middleware.items.control_frames import ConfiguredControlFrames, ControlFrameRules
from sse_middleware.items.item_encoding import ItemEncoding
from sse_middleware.items.item_type import ItemType
from sse_middleware.items.serialization import ItemEncoder
from sse_middleware.settings import StreamSettings

ENDPOINT = "app.endpoint"


class Item(BaseModel):
    name: str = Field(serialization_alias="theName")


class Secretive(Item):
    secret: str = "s"


class Measured(BaseModel):
    value: float


class Record(TypedDict):
    x: float


@dataclass
class Point:
    x: float
    y: float = 0


class Named(ServerSentEvent):
    """An event of a subclass."""


class Unknown:
    """A type that Pydantic doesn't know."""


def control_frames(**options: Any) -> ConfiguredControlFrames:
    return ConfiguredControlFrames(ControlFrameRules(StreamSettings(**options)))


def encoder_with(item_type: ItemType | None, **options: Any) -> ItemEncoder:
    stream = StreamSettings(**options)
    control = ConfiguredControlFrames(ControlFrameRules(stream))
    return ItemEncoder(ItemEncoding(stream, item_type, ENDPOINT), control)


def encoder_of(item_type: Any = Any, **options: Any) -> ItemEncoder:
    return encoder_with(ItemType.declared(item_type), **options)


def encode(item: Any, item_type: Any = Any, **options: Any) -> bytes:
    return encoder_of(item_type, **options).encode(item)


def data(json_text: bytes) -> bytes:
    return b"data: " + json_text + b"\n\n"


SECRETIVE = Secretive(name="n")
WHOLE = data(b'{"theName":"n","secret":"s"}')
FILTERED = data(b'{"theName":"n"}')
