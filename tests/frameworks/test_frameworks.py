"""Applications of many frameworks, written without the middleware, over real sockets.

What holds for all of them is one contract. Where a framework falls short of it by itself, a table
here says so, and the same is shown of the application without the middleware.
"""

from collections.abc import Iterator

import pytest

from sse_middleware.wire import Comment, EventStreamDecoder, MessageEvent
from tests.e2e.client import BrokenBodyError
from tests.frameworks.conftest import Serve
from tests.frameworks.running import AcceptingClient, Running

pytestmark = pytest.mark.e2e

COUNT = 500
EVENTS = "text/event-stream"
PING = b": ping\n\n"

FRAMEWORKS = {
    "starlette_app": "starlette",
    "fastapi_app": "fastapi.sse",
    "litestar_app": "litestar",
    "quart_app": "quart",
    "django_app": "django",
    "falcon_app": "falcon",
    "blacksheep_app": "blacksheep",
    "sse_starlette_app": "sse_starlette",
    "asgi2_app": "starlette",
    "own_tasks_app": "starlette",
    "flask_app": "flask",
}
"""The applications, and what each needs."""

HAVE_A_PLACE = ["starlette_app", "fastapi_app", "sse_starlette_app", "litestar_app", "quart_app"]
"""Those whose framework takes middleware of others."""

PLACES = [(name, "around") for name in FRAMEWORKS] + [(name, "inside") for name in HAVE_A_PLACE]

END_AS_COMPLETE = {("fastapi_app", "/broken")}
"""Bodies that their framework completes although their generator failed."""

LOST_BEFORE_AN_ERROR = {"fastapi_app": 1}
"""How many events, of those that are yielded right before an error, a framework never sends."""

LEAVE_IT_TO_THE_COLLECTOR = [
    "starlette_app",
    "fastapi_app",
    "sse_starlette_app",
    "asgi2_app",
    "litestar_app",
    "django_app",
]
"""Those whose framework never closes a generator that is at a `yield` when the client leaves,
so that its `finally` waits for Python's garbage collector."""


@pytest.fixture(scope="module", params=PLACES, ids="-".join)
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    name, where = request.param
    pytest.importorskip(FRAMEWORKS[name])
    return name, where


@pytest.fixture
def app(place: tuple[str, str], serve: Serve) -> Running:
    return serve(*place)


@pytest.fixture
def bare(place: tuple[str, str], serve: Serve) -> Running:
    """Return the same application without the middleware."""
    return serve(place[0], "nowhere")


def events_in(body: bytes) -> list[MessageEvent]:
    decoded = EventStreamDecoder().feed(body)
    return [event for event in decoded if isinstance(event, MessageEvent)]


def data_of(body: bytes) -> list[str]:
    """Return the data of the events in a body, without the quotes that make text of it JSON."""
    return [event.data.strip('"') for event in events_in(body)]


def body_of(app: Running, target: str, accept: str | None) -> bytes:
    with app.connect(accept) as client:
        assert client.get(f"{target}?count={COUNT}").status == 200
        return client.body()


# --- events, whole and in order ---------------------------------------------------------------


def test_its_own_events_arrive_complete_and_in_order(app: Running) -> None:
    events = events_in(body_of(app, "/events", EVENTS))

    assert [event.data.replace(" ", "") for event in events] == [
        f'{{"n":{number}}}' for number in range(COUNT)
    ]
    assert [event.last_event_id for event in events] == [str(number) for number in range(COUNT)]


@pytest.mark.parametrize("target", ["/events", "/handmade"])
@pytest.mark.parametrize("accept", [EVENTS, None, "application/json"])
def test_an_event_stream_stays_the_same_bytes(
    app: Running, bare: Running, target: str, accept: str | None
) -> None:
    # On a machine that is busy enough there is silence, too.
    assert body_of(app, target, accept).replace(PING, b"") == body_of(bare, target, accept)


def test_each_line_becomes_the_data_of_one_event(app: Running, bare: Running) -> None:
    with app.connect(EVENTS) as client:
        head = client.get(f"/lines?count={COUNT}")
        body = client.body()

    lines = body_of(bare, "/lines", None).decode().splitlines()
    assert len(lines) == COUNT
    assert events_in(body) == [MessageEvent(line) for line in lines]
    assert head.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert head.headers["vary"] == "Accept"


# --- what is none of ours ---------------------------------------------------------------------


@pytest.mark.parametrize("accept", [None, "*/*", "application/x-ndjson, application/jsonl"])
def test_a_client_that_does_not_accept_events_gets_the_same_bytes_and_a_vary(
    app: Running, bare: Running, accept: str | None
) -> None:
    target = f"/lines?count={COUNT}"
    with app.connect(accept) as client, bare.connect(accept) as bare_client:
        (head, body), (bare_head, bare_body) = client.whole(target), bare_client.whole(target)

    assert body == bare_body
    assert body.endswith(b"\r\n0\r\n\r\n")
    assert sorted(head) == sorted([*bare_head, b"vary: Accept"])


@pytest.mark.parametrize("target", ["/page", "/nowhere"])
@pytest.mark.parametrize("accept", [None, EVENTS])
def test_another_response_stays_the_same_bytes(
    app: Running, bare: Running, target: str, accept: str | None
) -> None:
    with app.connect(accept) as client, bare.connect(accept) as bare_client:
        assert client.whole(target) == bare_client.whole(target)


# --- silence, and the end of it ---------------------------------------------------------------


@pytest.mark.parametrize("target", ["/quiet", "/quiet-lines"])
def test_a_silent_stream_gets_keep_alives_and_a_disconnect_stops_it(
    app: Running, target: str
) -> None:
    # The pings that some frameworks have of their own come after more than a client waits here.
    with app.connect(EVENTS) as client:
        client.get(target)
        stream = client.events()
        assert data_and_comments(stream, 3) == ["first", ": ping", ": ping"]
        client.rst()
    if app.name == "flask_app":  # a plain generator is only stopped at its next `yield`
        app.say("go on")

    assert app.told() == "closed"
    app.wait_until_over()


def data_and_comments(stream: Iterator[object], count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        match next(stream):
            case MessageEvent(data=data):
                found.append(data.strip('"'))
            case Comment(text=text):
                found.append(f": {text}")
    return found


@pytest.mark.parametrize("target", ["/endless", "/endless-lines"])
def test_a_disconnect_stops_a_stream_that_never_waits(app: Running, target: str) -> None:
    with app.connect(EVENTS) as client:
        client.get(target)
        client.read_until(b"first")
        client.rst()
    app.wait_until_over(collect=app.name in LEAVE_IT_TO_THE_COLLECTOR)

    assert app.told() == "closed"


# --- errors -----------------------------------------------------------------------------------


def rest_of(client: AcceptingClient) -> tuple[bytes, bool]:
    """Return the rest of a body, and whether it breaks off."""
    body = b""
    try:
        for chunk in iter(client.read, b""):
            body += chunk
    except BrokenBodyError:
        return body, True
    return body, False


@pytest.mark.parametrize("target", ["/broken", "/broken-lines"])
def test_an_error_breaks_the_body_off_after_what_was_sent(
    app: Running, bare: Running, target: str
) -> None:
    breaks = (app.name, target) not in END_AS_COMPLETE
    with bare.connect(EVENTS) as client:
        client.get(target)
        client.read_until(b"second")
        bare.say("go on")
        assert rest_of(client)[1] is breaks

    with app.connect(EVENTS) as client:
        client.get(target)
        body = client.read_until(b"second")
        app.say("go on")
        rest, broken = rest_of(client)

    assert data_of(body + rest) == ["first", "second"]
    assert broken is breaks


def test_an_event_right_before_an_error_arrives(app: Running, bare: Running) -> None:
    for one in (bare, app):
        with one.connect(EVENTS) as client:
            client.get("/abrupt")
            body, broken = rest_of(client)
        lost = LOST_BEFORE_AN_ERROR.get(app.name, 0)
        assert data_of(body) == ["first", "second"][: 2 - lost]
        assert broken
