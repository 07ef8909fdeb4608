"""Models that name their events, and the bytes that they become."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from sse_middleware import EventDiscriminator, SSEModel


class Item(BaseModel):
    name: str


class Secretive(Item):
    secret: str = "s"


class Priced(SSEModel, event="price"):
    symbol: str
    price: float = Field(serialization_alias="thePrice", default=1.0)


class Sold(SSEModel, event="sold"):
    symbol: str


class Counted(Item, SSEModel, event="counted"):
    count: int = 1


class Special(Priced, event="special"):
    secret: str = "s"


class Unnamed(SSEModel):
    """Gives its events no name."""


class Phase(StrEnum):
    ENDED = "ended"


class Started(BaseModel):
    type: Literal["started", "restarted"] = "started"


class Ended(BaseModel):
    type: Literal[Phase.ENDED] = Phase.ENDED
    code: int = 0


class StartedAgain(Started):
    secret: str = "s"


Job = Annotated[Started | Ended, EventDiscriminator("type")]
Tagged = Annotated[Started | Ended, Field(discriminator="type")]
JobAlias = TypeAliasType("JobAlias", Job)
Either = TypeAliasType("Either", Priced | Sold | None)

PRICE = b'event: price\ndata: {"symbol":"A","thePrice":1.0}\n\n'
SOLD = b'event: sold\ndata: {"symbol":"A"}\n\n'
STARTED = b'event: started\ndata: {"type":"started"}\n\n'
RESTARTED = b'event: restarted\ndata: {"type":"restarted"}\n\n'
ENDED = b'event: ended\ndata: {"type":"ended","code":0}\n\n'
ITEM = b'data: {"name":"n"}\n\n'
