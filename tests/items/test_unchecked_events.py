"""Events that were made unchecked forge no lines: what they say is checked when it is sent."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from starlette.types import Message

from sse_middleware import EventSourceResponse, Hub, ServerSentEvent
from sse_middleware.errors import EncodingError
from tests.hub.subscribers import passed, subscribed
from tests.served import call

pytestmark = pytest.mark.anyio

CHECKED = ServerSentEvent(data=1)

FORGED: list[dict[str, Any]] = [
    *({"event": f"a{end}data: forged"} for end in ("\n", "\r", "\r\n", "\n\n")),
    *({"id": f"a{end}data: forged"} for end in ("\n", "\r", "\r\n", "\n\n", "\0")),
    {"retry": "1\ndata: forged"},
    {"retry": -1},
    {"event": "\ud800"},
    {"id": "\ud800"},
    {"comment": "\ud800"},
    {"data": None, "raw_data": "\ud800"},
    {"event": b"forged"},
]


def constructed(fields: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent.model_construct(**{"data": 1, **fields})


def copied(fields: dict[str, Any]) -> ServerSentEvent:
    return CHECKED.model_copy(update=fields)


def in_thread(event: ServerSentEvent) -> Iterator[Any]:
    yield from (0, event)


async def in_task(event: ServerSentEvent) -> AsyncIterator[Any]:
    yield 0
    yield event


@pytest.mark.parametrize("make", [constructed, copied])
@pytest.mark.parametrize("fields", FORGED)
@pytest.mark.parametrize("endpoint", [in_thread, in_task])
async def test_a_stream_breaks_before_them(make: Any, fields: Any, endpoint: Any) -> None:
    sent: list[bytes] = []

    async def send(message: Message) -> None:
        sent.append(message.get("body", b""))

    with pytest.raises(EncodingError):
        await call(EventSourceResponse(endpoint(make(fields))), send=send)
    assert b"".join(sent) == b"data: 0\n\n"


@pytest.mark.parametrize("make", [constructed, copied])
@pytest.mark.parametrize("fields", FORGED)
async def test_a_hub_refuses_them(make: Any, fields: Any) -> None:
    async with Hub() as hub, subscribed(hub, "a") as taken:
        with pytest.raises(EncodingError):
            await hub.publish("a", make(fields))
        await passed()
        assert taken.data() == []


@pytest.mark.parametrize("make", [constructed, copied])
@pytest.mark.parametrize("field", ["comment", "raw_data"])
async def test_a_field_of_several_lines_stays_itself(make: Any, field: str) -> None:
    sent: list[bytes] = []

    async def send(message: Message) -> None:
        sent.append(message.get("body", b""))

    event = make({"data": None, field: "a\rid: 1\nretry: 1\r\n\n"})
    await call(EventSourceResponse(in_task(event)), send=send)
    _, _, rest = b"".join(sent).partition(b"\n\n")
    prefix = b":" if field == "comment" else b"data:"
    assert rest.count(b"\n\n") == 1
    assert all(line.startswith(prefix) for line in rest.splitlines() if line)
