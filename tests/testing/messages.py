"""Messages that applications of these tests send by hand."""

from typing import Any

from starlette.types import Message

TYPE = (b"content-type", b"text/event-stream")


def start(status: Any = 200, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": [TYPE, *headers]}


def body(chunk: Any = b"", *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": chunk, "more_body": more}


END = body(more=False)
