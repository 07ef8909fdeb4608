"""``python -m examples.presets.mcp``: an MCP server with one tool, which counts.

The server ends the stream of an answer after one second. The client then comes back, and the answer
goes on: the ids of its events contain all that the server needs for that.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from examples.presets.serving import serve
from sse_middleware import EventSourceResponse, ServerSentEvent, accepts_events, presets

TOOL = {
    "name": "count",
    "description": "Counts.",
    "inputSchema": {"type": "object", "properties": {"to": {"type": "integer"}}},
}
SERVER = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "counter", "version": "1"},
}


async def post(request: Request) -> Response:
    message = await request.json()
    if "id" not in message:
        return Response(status_code=202)
    match message["method"]:
        case "initialize":
            return answered(message["id"], result=SERVER)
        case "tools/list":
            return answered(message["id"], result={"tools": [TOOL]})
        case "tools/call":
            return call(request, message["id"], message["params"])
    return answered(message["id"], error={"code": -32601, "message": "Method not found"})


def call(request: Request, id_: int | str, params: dict[str, Any]) -> Response:
    to = params["arguments"]["to"]
    if not accepts_events(request.headers.get("accept")):
        return answered(id_, result=counted(to))
    return count(id_, params.get("_meta", {}).get("progressToken"), to, 0)


async def resume(request: Request) -> Response:
    cursor = request.headers.get("last-event-id")
    if cursor is None:
        return Response(status_code=405)  # this server sends nothing that no client asked for
    return count(*json.loads(cursor))


def count(id_: int | str, token: int | str | None, to: int, start: int) -> Response:
    async def messages() -> AsyncIterator[ServerSentEvent | dict[str, Any]]:
        for number in range(start, to):
            await anyio.sleep(0.05)
            params = {"progressToken": token, "progress": number, "total": to}
            said = {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
            yield ServerSentEvent(data=said, id=json.dumps([id_, token, to, number + 1]))
        yield {"jsonrpc": "2.0", "id": id_, "result": counted(to)}

    preset = presets.mcp(id_, cursor=json.dumps([id_, token, to, start]), retry=100)
    return EventSourceResponse(messages(), preset=preset, max_duration=1)


def counted(to: int) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": str(to)}]}


def answered(id_: int | str, **answer: Any) -> Response:
    return JSONResponse({"jsonrpc": "2.0", "id": id_, **answer})


app = Starlette(
    routes=[Route("/mcp", post, methods=["POST"]), Route("/mcp", resume, methods=["GET"])]
)

if __name__ == "__main__":
    serve(app)
