"""Flask through asgiref's `WsgiToAsgi`: plain generators, in a thread."""

from collections.abc import Iterator

from asgiref.wsgi import WsgiToAsgi
from flask import Flask, Response, request

from tests.frameworks.journal import hear, tell

flask = Flask(__name__)


def frames(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield b': comment\r\nid: %d\nevent: n\nunknown: x\ndata:{"n":%d}\r\n\n' % (number, number)


def quiet_frames() -> Iterator[bytes]:
    """Wait for something: until then nothing can stop a plain generator."""
    try:
        yield b"data: first\n\n"
        hear()
        while True:
            yield b"data: second\n\n"
    finally:
        tell("closed")


def endless_frames() -> Iterator[bytes]:
    try:
        while True:
            yield b"data: first\n\n"
    finally:
        tell("closed")


def broken_frames() -> Iterator[bytes]:
    yield b"data: first\n\n"
    yield b"data: second\n\n"
    hear()
    raise RuntimeError("broken")


def abrupt_frames() -> Iterator[bytes]:
    yield b"data: first\n\n"
    yield b"data: second\n\n"
    raise RuntimeError("broken")


def json_lines(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield b'{"n": %d}\n' % number


def some_quiet_lines() -> Iterator[bytes]:
    try:
        yield b'"first"\n'
        hear()
        while True:
            yield b'"second"\n'
    finally:
        tell("closed")


def all_first_lines() -> Iterator[bytes]:
    try:
        while True:
            yield b'"first"\n'
    finally:
        tell("closed")


def two_lines() -> Iterator[bytes]:
    yield b'"first"\n'
    yield b'"second"\n'
    hear()
    raise RuntimeError("broken")


@flask.get("/page")
def page() -> dict[str, int]:
    return {"n": 0}


@flask.get("/events")
@flask.get("/handmade")
def events() -> Response:
    return Response(frames(int(request.args["count"])), mimetype="text/event-stream")


@flask.get("/quiet")
def quiet() -> Response:
    return Response(quiet_frames(), mimetype="text/event-stream")


@flask.get("/endless")
def endless() -> Response:
    return Response(endless_frames(), mimetype="text/event-stream")


@flask.get("/broken")
def broken() -> Response:
    return Response(broken_frames(), mimetype="text/event-stream")


@flask.get("/abrupt")
def abrupt() -> Response:
    return Response(abrupt_frames(), mimetype="text/event-stream")


@flask.get("/lines")
def lines() -> Response:
    return Response(json_lines(int(request.args["count"])), mimetype="application/x-ndjson")


@flask.get("/quiet-lines")
def quiet_lines() -> Response:
    return Response(some_quiet_lines(), mimetype="application/x-ndjson")


@flask.get("/endless-lines")
def endless_lines() -> Response:
    return Response(all_first_lines(), mimetype="application/x-ndjson")


@flask.get("/broken-lines")
def broken_lines() -> Response:
    return Response(two_lines(), mimetype="application/x-ndjson")


app = WsgiToAsgi(flask)
