"""The public API as a user writes it: mypy in strict mode has nothing to say to it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Annotated, Literal, TypedDict, assert_type

from fastapi import Depends, FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Route

from sse_middleware import (
    KEEPALIVE_COMMENT,
    EventDiscriminator,
    EventSourceResponse,
    ServerSentEvent,
    SSEMiddleware,
    SSEModel,
    StreamOptions,
    event_stream,
    format_sse_event,
    presets,
)
from sse_middleware.presets import Preset
from sse_middleware.settings import StreamSettings
from sse_middleware.testing import EventClient, SyncEventClient
from sse_middleware.wire import Comment, EventStreamDecoder, MessageEvent, ReconnectionTime


class Item(BaseModel):
    name: str


app = FastAPI()
app.add_middleware(SSEMiddleware, ping_interval=20, error_event=str)


async def user() -> str:
    return "me"


@app.get("/class", response_class=EventSourceResponse)
async def by_class() -> AsyncIterator[Item | ServerSentEvent | None]:
    yield Item(name="a")
    yield ServerSentEvent(event="m", data={"v": 2}, id="17", retry=3000, comment="hi")
    yield None


@app.post("/decorator")
@event_stream
async def by_decorator(item: Item, name: Annotated[str, Depends(user)]) -> AsyncIterator[Item]:
    yield Item(name=item.name + name)


@app.get("/settings")
@event_stream(ping_interval=None, ping=lambda: ServerSentEvent(event="ping"), item_type=Item)
def with_settings() -> Iterator[dict[str, str]]:
    yield {"name": "a"}


class Priced(SSEModel, event="price", extra="forbid"):
    price: float


class Ended(BaseModel):
    type: Literal["ended", "failed"]


Job = Annotated[Ended, EventDiscriminator("type")]


@app.get("/typed")
@event_stream
async def typed() -> AsyncIterator[Priced | Job | ServerSentEvent[Priced | Job] | None]:
    yield Priced(price=1)
    yield Ended(type="failed")
    yield ServerSentEvent(data=Priced(price=1), id="1")
    yield ServerSentEvent(raw_data="[DONE]")


@app.get("/preset")
@event_stream(preset=presets.HTMX)
def with_preset() -> Iterator[str | ServerSentEvent]:
    yield presets.patch_elements("<li>", selector="#log", mode="append")


class Events(HTTPEndpoint):
    @event_stream
    async def get(self, request: Request) -> AsyncIterator[str]:
        yield request.method


async def returned(_request: Request) -> EventSourceResponse:
    return EventSourceResponse([1, 2], status_code=200, headers={"x": "y"}, max_buffer=1024)


starlette = Starlette(
    routes=[Route("/", Events), Route("/returned", returned)],
    middleware=[Middleware(SSEMiddleware, commit_after=1)],
)


class OwnMessage(TypedDict):
    """A framework's own type for scopes and messages, which isn't Starlette's."""

    type: str


OwnApp = Callable[
    [OwnMessage, Callable[[], Awaitable[OwnMessage]], Callable[[OwnMessage], Awaitable[None]]],
    Awaitable[None],
]


def with_another_framework(own: OwnApp) -> list[OwnApp]:
    EventClient(own)
    SyncEventClient(own)
    return [SSEMiddleware(own), EventSourceResponse([1])]


options: StreamOptions = {"ping_interval": 5}
assert_type(StreamSettings(ping_interval=5).overridden(options), StreamSettings)
assert_type(presets.mcp(1, cursor="1/0"), Preset)
assert_type(format_sse_event(data_str="x") + KEEPALIVE_COMMENT, bytes)
assert_type(EventStreamDecoder().feed(b""), list[MessageEvent | Comment | ReconnectionTime])

assert_type(ServerSentEvent[Item](data=Item(name="a")).data, Item)
assert_type(ServerSentEvent(raw_data="a"), ServerSentEvent)

# What is wrong must stay wrong: an ignore that is not needed is an error.
app.add_middleware(SSEMiddleware, ping_intervall=20)  # type: ignore[call-arg]
EventSourceResponse([], ping_interval="5")  # type: ignore[arg-type]
SSEMiddleware(print)  # type: ignore[arg-type]
event_stream(pings=5)  # type: ignore[call-overload]
EventSourceResponse([], preset="openai")  # type: ignore[arg-type]
Preset(last="[DONE]")  # type: ignore[arg-type]
presets.patch_elements("<li>", mode="morph")  # type: ignore[arg-type]
ServerSentEvent(retry="3000")  # type: ignore[arg-type]
ServerSentEvent[Item](data=1)  # type: ignore[arg-type]
wrapped: ServerSentEvent[Item] = ServerSentEvent(data=Priced(price=1))  # type: ignore[arg-type]
