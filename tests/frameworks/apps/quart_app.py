"""Quart: asynchronous generators as bodies."""

from collections.abc import AsyncIterator

import anyio
from quart import Quart, Response, request

from tests.frameworks.apps.starlette_app import broken_frames, frames, json_lines
from tests.frameworks.journal import tell

app = Quart(__name__)


async def none() -> AsyncIterator[bytes]:
    try:
        yield b"data: 0\n\n"
        await anyio.sleep_forever()
    finally:
        tell("closed")


@app.get("/events")
async def events() -> Response:
    response = Response(frames(int(request.args["count"])), mimetype="text/event-stream")
    response.timeout = None
    return response


@app.get("/quiet")
async def quiet() -> Response:
    response = Response(none(), mimetype="text/event-stream")
    response.timeout = None
    return response


@app.get("/broken")
async def broken() -> Response:
    return Response(broken_frames(), mimetype="text/event-stream")


@app.get("/lines")
async def lines() -> Response:
    body = json_lines(int(request.args["count"]))
    return Response(body, mimetype="application/x-ndjson")
