"""An application whose streams take all kinds of requests."""

from argparse import ArgumentParser
from collections.abc import AsyncIterator
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Header, Query
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from sse_middleware import Hub, SSEMiddleware, SSEModel, event_stream
from sse_middleware.presets import OPENAI


class Order(BaseModel):
    """What is bought."""

    symbol: str
    shares: int = 1
    limit: float | None = None


class Executed(SSEModel, event="executed"):
    """An order was executed."""

    order: Order
    price: float


class Said(BaseModel):
    text: str = ""


class Question(BaseModel):
    said: list[Said] = Field(default_factory=list)
    then: "Question | None" = None


hub = Hub()
app = FastAPI()
app.add_middleware(SSEMiddleware, hub=hub, ping_interval=5)


@app.get("/orders/{number}")
@event_stream
async def order(
    number: int, since: str, kinds: Annotated[list[str], Query(default_factory=list)]
) -> AsyncIterator[Executed]:
    """Follow an order."""
    for kind in kinds:
        yield Executed(order=Order(symbol=f"{since} {kind}"), price=number)


@app.post("/orders")
@event_stream(ping_interval=1.5)
async def place(order: Order, token: Annotated[str, Header()] = "") -> AsyncIterator[Executed]:
    """Place an order, and follow it."""
    yield Executed(order=order, price=len(token))


@app.post("/chat")
@event_stream(preset=OPENAI, ping_interval=None)
async def chat(question: Question | None = None) -> AsyncIterator[Said]:
    """Answer."""
    yield Said(text=str(question))


PHOTO = {"requestBody": {"content": {"image/png": {}}, "required": True}}


@app.post("/photos", openapi_extra=PHOTO)
@event_stream
async def photo() -> AsyncIterator[str]:
    """Describe a photo."""
    yield "a cat"


@app.get("/rooms/{room:path}")
@event_stream(item_type=Said)
async def listen(room: str) -> Any:
    """Listen to a room."""
    return hub.subscribe(f"room:{room}")


async def words(question: Question) -> AsyncIterator[Said]:
    for said in question.said:
        yield said


@app.post("/answers/{key}")
@event_stream(item_type=Said)
async def answer(key: str, question: Question) -> Any:
    """Begin an answer, or go on with it."""
    return await hub.resumable(key, lambda: words(question))


inner = FastAPI()


@inner.get("/numbers")
@event_stream
async def numbers(limit: int = 3) -> AsyncIterator[int]:
    """Count."""
    for number in range(limit):
        yield number


async def plain(_request: Any) -> AsyncIterator[int]:
    """Count, without a document."""
    yield 1


app.mount("/inner/{tenant}", inner)
app.mount(
    "/plain",
    Starlette(
        routes=[
            Route("/", event_stream(plain)),
            Mount("/{a}", routes=[Route("/{b:int}", event_stream(plain), methods=["PUT"])]),
        ]
    ),
)


def main() -> None:
    """Serve the application, as the examples are served."""
    parser = ArgumentParser()
    parser.add_argument("--port", type=int)
    uvicorn.run(app, host="127.0.0.1", port=parser.parse_args().port, log_level="warning")


if __name__ == "__main__":
    main()
