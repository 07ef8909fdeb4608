"""A model with OpenAI's interface that does what the name of the asked model says.

It writes HTTP by hand, because no server breaks a body off in each of these ways. A line on stdout
tells when the client of a request has left.
"""

import argparse
import asyncio
import json
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import Any

DONE = b"data: [DONE]\n\n"
JSON = "application/json"
EVENTS = "text/event-stream"


def event(content: str | None, reason: str | None = None) -> bytes:
    delta = {} if content is None else {"content": content}
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "scripted",
        "system_fingerprint": "fp_secret",
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
    }
    return b"data: %b\n\n" % json.dumps(chunk).encode()


class Answer:
    """The answer to one request."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def whole(self, status: str, body: bytes, media_type: str, *headers: str) -> None:
        head = [f"HTTP/1.1 {status}", f"content-type: {media_type}", f"content-length: {len(body)}"]
        self.writer.write("\r\n".join([*head, *headers, "", ""]).encode() + body)
        await self.writer.drain()

    async def begin(self) -> None:
        head = ["HTTP/1.1 200 OK", f"content-type: {EVENTS}", "transfer-encoding: chunked"]
        self.writer.write("\r\n".join([*head, "", ""]).encode())
        await self.chunk(event("Hello"))

    async def chunk(self, body: bytes) -> None:
        self.writer.write(b"%x\r\n%b\r\n" % (len(body), body))
        await self.writer.drain()

    async def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def until_the_client_leaves(self) -> None:
        await self.reader.read()
        print("the client has left", flush=True)  # noqa: T201 - the test reads it

    async def reset(self) -> None:
        """Reset the connection once the client's system has all of the body so far."""
        linger = struct.pack("ii", 1, 0)
        connection: socket.socket = self.writer.get_extra_info("socket")
        # A reset overtakes what the other system has not acknowledged.
        while ioctl(connection, TIOCOUTQ, bytes(4)) != bytes(4):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


async def echo(answer: Answer, asked: dict[str, Any]) -> None:
    words = asked["messages"][-1]["content"].split()
    if not asked.get("stream"):
        message = {"role": "assistant", "content": " ".join(words)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = {"id": "1", "object": "chat.completion", "choices": [choice]}
        await answer.whole("200 OK", json.dumps(body).encode(), JSON)
        return
    await answer.begin()
    for word in words:
        await answer.chunk(event(f" {word}"))
    await answer.chunk(event(None, "stop") + DONE)
    await answer.end()


async def reset(answer: Answer, _asked: Any) -> None:
    await answer.begin()
    await answer.reset()


async def cut(answer: Answer, _asked: Any) -> None:
    await answer.begin()
    answer.writer.write(b"ff\r\ndata: {")


async def half(answer: Answer, _asked: Any) -> None:
    await answer.begin()
    await answer.chunk(event(" half")[:-9])
    await answer.end()


async def unfinished(answer: Answer, _asked: Any) -> None:
    await answer.begin()
    await answer.end()


async def hang(answer: Answer, _asked: Any) -> None:
    await answer.begin()
    await answer.until_the_client_leaves()


async def silent(answer: Answer, _asked: Any) -> None:
    print("asked", flush=True)  # noqa: T201 - the test reads it
    await answer.until_the_client_leaves()


async def busy(answer: Answer, _asked: Any) -> None:
    body = b'{"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}'
    await answer.whole("429 Too Many Requests", body, JSON, "retry-after: 7")


async def forbidden(answer: Answer, _asked: Any) -> None:
    body = b'{"error": {"message": "the key sk-secret is wrong"}}'
    await answer.whole("401 Unauthorized", body, JSON)


async def html(answer: Answer, _asked: Any) -> None:
    await answer.whole("200 OK", b"<html>login</html>", "text/html")


SCRIPTS: dict[str, Callable[[Answer, Any], Awaitable[None]]] = {
    script.__name__: script
    for script in (echo, reset, cut, half, unfinished, hang, silent, busy, forbidden, html)
}


async def serve(reader: StreamReader, writer: StreamWriter) -> None:
    """Answer one request, and close the connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    asked = json.loads(await reader.readexactly(length))
    await SCRIPTS[asked["model"]](Answer(reader, writer), asked)
    writer.close()


async def main(port: int) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    asyncio.run(main(parser.parse_args().port))
