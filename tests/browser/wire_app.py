"""Streams whose every byte counts, for an ``EventSource``."""

import os
from collections import defaultdict
from collections.abc import AsyncIterator

from anyio.lowlevel import checkpoint
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from sse_middleware import (
    EventSourceResponse,
    ServerSentEvent,
    SSEMiddleware,
    event_stream,
    last_event_id,
)

MANY = 10_000
MEGABYTE = 1_000_000

ALPHABET = "aé€🙂\n"
"""Characters of one to four bytes, and a new line."""

LONG = ALPHABET * (MEGABYTE // len(ALPHABET.encode()))

STRANGE_IDS = ["1", "é", "日本", "🙂", "a b", "x:y", "0", "-"]

Dispatched = tuple[str, str, str]
"""Type, data and last id of an event, as the browser dispatches it."""

CASES: list[tuple[ServerSentEvent, Dispatched | None]] = [
    (ServerSentEvent(raw_data="before any id"), ("message", "before any id", "")),
    (ServerSentEvent(raw_data="a", event="named", id="1"), ("named", "a", "1")),
    (ServerSentEvent(raw_data="keeps the id"), ("message", "keeps the id", "1")),
    (ServerSentEvent(id="2"), None),
    (ServerSentEvent(raw_data="after an id alone"), ("message", "after an id alone", "2")),
    (ServerSentEvent(comment="nothing\nto see"), None),
    (ServerSentEvent(raw_data="x", comment="data: y"), ("message", "x", "2")),
    (ServerSentEvent(retry=123), None),
    (ServerSentEvent(event="no data"), None),
    (ServerSentEvent(raw_data=""), ("message", "", "2")),
    (ServerSentEvent(raw_data="one\ntwo\n\nfour"), ("message", "one\ntwo\n\nfour", "2")),
    (ServerSentEvent(raw_data="\n"), ("message", "\n", "2")),
    (ServerSentEvent(raw_data="ends\n\n"), ("message", "ends\n\n", "2")),
    (ServerSentEvent(raw_data="a\rb\r\nc\n\rd"), ("message", "a\nb\nc\n\nd", "2")),
    (ServerSentEvent(raw_data=" one space"), ("message", " one space", "2")),
    (ServerSentEvent(raw_data=": colon"), ("message", ": colon", "2")),
    (ServerSentEvent(raw_data="event: x\nid: 9"), ("message", "event: x\nid: 9", "2")),
    (ServerSentEvent(raw_data="\ufeffBOM"), ("message", "\ufeffBOM", "2")),
    (
        ServerSentEvent(raw_data="\0NUL\x0b\x0c\x85\u2028."),
        ("message", "\0NUL\x0b\x0c\x85\u2028.", "2"),
    ),
    (ServerSentEvent(raw_data="🙂 ÄÖ 日本 \U0010ffff"), ("message", "🙂 ÄÖ 日本 \U0010ffff", "2")),
    (ServerSentEvent(raw_data="x", event="größe 🙂: é"), ("größe 🙂: é", "x", "2")),
    (ServerSentEvent(data={"a": ["é", None]}), ("message", '{"a":["é",null]}', "2")),
    (ServerSentEvent(data="a\nb\u2028"), ("message", '"a\\nb\\u2028"', "2")),
    *[(ServerSentEvent(raw_data="x", id=id_), ("message", "x", id_)) for id_ in STRANGE_IDS],
    # Only here: HTTP takes spaces at both ends from the header in which an id comes back.
    (ServerSentEvent(raw_data="x", id=" a "), ("message", "x", " a ")),
    (ServerSentEvent(raw_data="x", id=""), ("message", "x", "")),
    (ServerSentEvent(raw_data="x" * 70_000, id="z"), ("message", "x" * 70_000, "z")),
    (
        ServerSentEvent(raw_data="all\nof them", event="all", id="7", retry=5, comment="c"),
        ("all", "all\nof them", "7"),
    ),
]
"""Events, and what a browser dispatches: ``None`` if it dispatches nothing."""

LAST = ServerSentEvent(event="last", raw_data="")

visits: defaultdict[str, list[str]] = defaultdict(list)
"""By name: the ids that a client has come with."""


async def page(_request: Request) -> Response:
    return HTMLResponse("<!doctype html><title>streams</title>")


@event_stream
async def fields(request: Request) -> AsyncIterator[ServerSentEvent | None]:
    """Send all cases, joined or, slowly, one by one with keep-alives between them."""
    for event, _ in CASES:
        yield event
        if "slowly" in request.query_params:
            yield None
            await checkpoint()
    yield LAST


@event_stream
async def long(_request: Request) -> AsyncIterator[ServerSentEvent]:
    """Send events of a megabyte: text of many lines, and a string in JSON."""
    yield ServerSentEvent(raw_data=LONG)
    yield ServerSentEvent(data=LONG)
    yield LAST


@event_stream
async def many(_request: Request) -> AsyncIterator[ServerSentEvent]:
    for number in range(1, MANY + 1):
        yield ServerSentEvent(data=number, id=str(number))
    yield LAST


async def come_back(request: Request) -> Response:
    """Send one strange id after the other, one for each visit. Then answer 204."""
    name = request.path_params["name"]
    seen = last_event_id(request)
    visits[name].append(seen)
    following = STRANGE_IDS[STRANGE_IDS.index(seen) + 1 :] if seen else STRANGE_IDS
    if not following:
        return Response(status_code=204)
    retry = int(request.query_params["retry"])

    async def one() -> AsyncIterator[ServerSentEvent]:
        yield ServerSentEvent(raw_data="x", id=following[0], retry=retry)

    return EventSourceResponse(one())


async def list_visits(request: Request) -> Response:
    return JSONResponse(visits[request.path_params["name"]])


async def sign_in(_request: Request) -> Response:
    response = HTMLResponse("<!doctype html><title>signed in</title>")
    response.set_cookie("user", "ann", httponly=True)
    return response


@event_stream
async def who(request: Request) -> AsyncIterator[ServerSentEvent]:
    """Say whose cookie came, and over which version of HTTP."""
    user, version = request.cookies.get("user", "nobody"), request.scope["http_version"]
    yield ServerSentEvent(raw_data=f"{user} over HTTP/{version}")
    yield LAST


app = Starlette(
    routes=[
        Route("/page", page),
        Route("/fields", fields),
        Route("/long", long),
        Route("/many", many),
        Route("/come-back/{name}", come_back),
        Route("/visits/{name}", list_visits),
        Route("/sign-in", sign_in),
        Route("/who", who),
    ],
    middleware=[
        Middleware(
            CORSMiddleware,
            allow_origins=os.environ.get("ORIGINS", "").split(","),
            allow_credentials=True,
        ),
        Middleware(SSEMiddleware, drain_grace=0),
    ],
)
