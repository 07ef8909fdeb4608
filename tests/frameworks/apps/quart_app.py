"""Quart: asynchronous generators as bodies."""

from collections.abc import AsyncIterator

from quart import Quart, Response, request

from tests.frameworks.apps import bodies

app = Quart(__name__)


def stream(body: AsyncIterator[bytes], media_type: str) -> Response:
    response = Response(body, mimetype=media_type)
    response.timeout = None  # as Quart's guide says: a stream may take longer than a minute
    return response


@app.get("/page")
async def page() -> dict[str, int]:
    return {"n": 0}


@app.get("/events")
@app.get("/handmade")
async def events() -> Response:
    return stream(bodies.frames(int(request.args["count"])), "text/event-stream")


@app.get("/quiet")
async def quiet() -> Response:
    return stream(bodies.quiet_frames(), "text/event-stream")


@app.get("/endless")
async def endless() -> Response:
    return stream(bodies.endless_frames(), "text/event-stream")


@app.get("/broken")
async def broken() -> Response:
    return stream(bodies.broken_frames(), "text/event-stream")


@app.get("/abrupt")
async def abrupt() -> Response:
    return stream(bodies.abrupt_frames(), "text/event-stream")


@app.get("/lines")
async def lines() -> Response:
    return stream(bodies.json_lines(int(request.args["count"])), "application/x-ndjson")


@app.get("/quiet-lines")
async def quiet_lines() -> Response:
    return stream(bodies.quiet_lines(), "application/x-ndjson")


@app.get("/endless-lines")
async def endless_lines() -> Response:
    return stream(bodies.endless_lines(), "application/x-ndjson")


@app.get("/broken-lines")
async def broken_lines() -> Response:
    return stream(bodies.broken_lines(), "application/x-ndjson")
