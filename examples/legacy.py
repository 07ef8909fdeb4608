"""``python -m examples.legacy``: three applications that know nothing about events.

They are an endpoint that streams lines of JSON, one that clients poll, and a Flask application.
None of them is changed. One middleware lets a browser's ``EventSource`` read them all.
"""

import argparse
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import flask
import uvicorn
from asgiref.wsgi import WsgiToAsgi
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from sse_middleware import LegacyRoute, ServerSentEvent, SSEMiddleware

PAGE = Path(__file__).parent / "legacy.html"

# --- an application that streams lines of JSON ------------------------------------------------


async def log(request: Request) -> Response:
    async def lines() -> AsyncIterator[bytes]:
        for number in itertools.count(1):
            yield json.dumps({"n": number, "log": request.path_params["name"]}).encode() + b"\n"
            await anyio.sleep(0.5)

    return StreamingResponse(lines(), media_type="application/x-ndjson")


# --- an endpoint that is polled ---------------------------------------------------------------

started = time.monotonic()


async def status(_: Request) -> Response:
    return JSONResponse({"jobs_done": int(time.monotonic() - started) // 2})


# --- a Flask application ----------------------------------------------------------------------

report = flask.Flask(__name__)


@report.get("/countdown")
def countdown() -> flask.Response:
    def lines() -> Iterator[str]:
        for number in range(5, 0, -1):
            yield f"{number}\n"
            time.sleep(0.2)

    return flask.Response(lines(), mimetype="text/plain")


# --- the one line -----------------------------------------------------------------------------


async def page(_: Request) -> Response:
    return FileResponse(PAGE)


untouched = Starlette(
    routes=[
        Route("/", page),
        Route("/logs/{name}", log),
        Route("/status", status),
        Mount("/report", WsgiToAsgi(report)),  # type: ignore[no-untyped-call]
    ]
)

app = SSEMiddleware(
    untouched,
    legacy=[
        LegacyRoute("/logs/{name}", event="line", id="{json[n]}"),
        LegacyRoute("/status", poll=1.0),
        LegacyRoute("/report/countdown", last=ServerSentEvent(event="end", data="lift-off")),
    ],
)


def main() -> None:
    """Serve the applications until you interrupt it."""
    parser = argparse.ArgumentParser(prog="python -m examples.legacy", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    port = parser.parse_args().port
    print(f"http://127.0.0.1:{port}/", flush=True)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
