"""Flask through asgiref's `WsgiToAsgi`: plain generators, in a thread."""

import time
from collections.abc import Iterator

from asgiref.wsgi import WsgiToAsgi
from flask import Flask, Response, request

from tests.frameworks.journal import tell

flask = Flask(__name__)


def frames(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield b'id: %d\nevent: n\ndata: {"n":%d}\n\n' % (number, number)


def slow_frames() -> Iterator[bytes]:
    """Yield again and again: only there can a plain generator be stopped."""
    try:
        yield b"data: 0\n\n"
        while True:
            time.sleep(0.5)
            yield b": still here\n\n"
    finally:
        tell("closed")


def broken_frames() -> Iterator[bytes]:
    yield b"data: 0\n\n"
    yield b"data: 1\n\n"
    raise RuntimeError("broken")


def json_lines(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield b'{"n":%d}\n' % number


@flask.get("/events")
def events() -> Response:
    return Response(frames(int(request.args["count"])), mimetype="text/event-stream")


@flask.get("/quiet")
def quiet() -> Response:
    return Response(slow_frames(), mimetype="text/event-stream")


@flask.get("/broken")
def broken() -> Response:
    return Response(broken_frames(), mimetype="text/event-stream")


@flask.get("/lines")
def lines() -> Response:
    return Response(json_lines(int(request.args["count"])), mimetype="application/x-ndjson")


app = WsgiToAsgi(flask)
