"""`LegacyRoute`: what it matches, and what it refuses."""

from typing import Any

import pytest

from sse_middleware import ConfigurationError, LegacyRoute, ServerSentEvent, SSEMiddleware
from sse_middleware.legacy.bodies.adapters import ADAPTERS, Lines


async def app(scope: Any, receive: Any, send: Any) -> None: ...


def scope(path: str, method: str = "GET", root: str = "") -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "root_path": root}


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/logs", "/logs", True),
        ("/logs", "/logs/", False),
        ("/logs", "/logs/a", False),
        ("/logs", "/LOGS", False),
        ("/logs/{name}", "/logs/a", True),
        ("/logs/{name}", "/logs/a/b", False),
        ("/logs/{name}", "/logs/", False),
        ("/logs/{name:path}", "/logs/a/b", True),
        ("/logs/{number:int}/x", "/logs/12/x", True),
        ("/logs/{number:int}/x", "/logs/a/x", False),
        ("/a.c", "/abc", False),
    ],
)
def test_patterns_are_those_of_starlette(pattern: str, path: str, matches: bool) -> None:
    assert LegacyRoute(pattern).matches(scope(path)) is matches
    assert LegacyRoute(pattern).matches(scope("/root" + path, root="/root")) is matches


def test_a_root_path_may_be_missing_in_the_path() -> None:
    # Old servers leave it out.
    assert LegacyRoute("/logs").matches(scope("/logs", root="/root"))
    assert not LegacyRoute("/logs").matches(scope("/rootlogs", root="/root"))


@pytest.mark.parametrize(
    ("methods", "method", "matches"),
    [
        (None, "GET", True),
        (None, "DELETE", True),
        (["get"], "GET", True),
        ({"GET", "post"}, "POST", True),
        (("GET",), "POST", False),
        ([], "GET", False),
    ],
)
def test_a_route_matches_its_methods(methods: Any, method: str, matches: bool) -> None:
    assert LegacyRoute("/", methods=methods).matches(scope("/", method)) is matches


@pytest.mark.parametrize(
    ("options", "method", "accept", "polls"),
    [
        ({"poll": 2.0}, "GET", b"text/event-stream", True),
        ({"poll": 2}, "GET", b"TEXT/event-stream;q=0.1, */*", True),
        ({"poll": 2.0}, "GET", b"*/*", False),
        ({"poll": 2.0}, "HEAD", b"text/event-stream", False),
        ({"poll": 2.0}, "POST", b"text/event-stream", False),
        ({"poll": 2.0, "always": True}, "GET", b"*/*", True),
        ({"poll": 2.0, "always": True}, "POST", b"*/*", False),
        ({}, "GET", b"text/event-stream", False),
    ],
)
def test_a_route_says_what_is_polled(options: Any, method: str, accept: bytes, polls: bool) -> None:
    assert LegacyRoute("/", **options).polls(scope("/", method), accept) is polls


def test_an_adapter_may_be_named() -> None:
    for name, factory in ADAPTERS.items():
        assert LegacyRoute("/", body=name).adapter is factory
    assert LegacyRoute("/", body=Lines).adapter is Lines
    assert LegacyRoute("/").adapter is None


def test_a_route_describes_a_body_and_its_events() -> None:
    last = ServerSentEvent(event="end", data="over")
    route = LegacyRoute(
        "/", invalid_text="fail", unfinished="drop", max_piece=7, last=last, event="e", id="{line}"
    )
    assert (route.body.invalid_text, route.body.unfinished, route.body.max_piece) == (
        "fail",
        "drop",
        7,
    )
    assert route.fields.last == b'event: end\ndata: "over"\n\n'
    assert (route.fields.event, route.fields.id) == ("e", "{line}")
    assert LegacyRoute("/").fields.last == b""
    assert repr(LegacyRoute("/a/{b}")) == "LegacyRoute('/a/{b}')"


async def async_key(request: Any) -> str:
    return ""


REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    ("logs", {}, "begins with '/', got 'logs'"),
    ("", {}, "begins with '/'"),
    (None, {}, "begins with '/', got None"),
    (b"/logs", {}, "begins with '/'"),
    ("/{a}/{a}", {}, "not a pattern .*got '/{a}/{a}'"),
    ("/{a:nope}", {}, "not a pattern .*got '/{a:nope}'"),
    ("/{a", {}, "braces .*got '/{a'"),
    ("/a}", {}, "braces"),
    ("/{a-b}", {}, "braces"),
    ("/{}", {}, "braces"),
    ("/", {"body": "jsonl"}, "body must be one of 'json-lines', .*got 'jsonl'"),
    ("/", {"body": ["lines"]}, r"body must be .*got \['lines'\]"),
    ("/", {"body": 5}, "body must be .*got 5"),
    ("/", {"methods": "GET"}, "methods must be a list of names, got 'GET'"),
    ("/", {"methods": [b"GET"]}, "methods must be"),
    ("/", {"methods": 5}, "methods must be a list of names, got 5"),
    ("/", {"event": "a\nb"}, "event must be a single line"),
    ("/", {"id": "{nope}"}, "id may name"),
    ("/", {"last": b"data: x\n\n"}, "last must be a ServerSentEvent"),
    ("/", {"malformed": "no"}, "malformed must be"),
    ("/", {"invalid_text": "ignore"}, "invalid_text must be 'replace' or 'fail', got 'ignore'"),
    ("/", {"unfinished": "keep"}, "unfinished must be 'deliver', 'drop' or None, got 'keep'"),
    ("/", {"max_piece": 0}, "max_piece must be .*got 0"),
    ("/", {"poll": 0}, "poll must be a number of seconds over 0, got 0"),
    ("/", {"poll": -1.0}, "poll must be"),
    ("/", {"poll": float("inf")}, "poll must be"),
    ("/", {"poll": float("nan")}, "poll must be"),
    ("/", {"poll": True}, "poll must be"),
    ("/", {"poll": "2"}, "poll must be"),
    ("/", {"key": lambda _: 1}, "key must be .*needs poll="),
    ("/", {"poll": 1, "key": "user"}, "key must be a function .*got 'user'"),
    ("/", {"poll": 1, "key": async_key}, "key must be a function that is not async"),
    ("/", {"poll": 1, "body": "lines"}, "not for a polled route.* got body='lines', id=None"),
    ("/", {"poll": 1, "id": "{line}"}, "not for a polled route"),
    ("/", {"ping_intervall": 1}, "did you mean 'ping_interval'"),
    ("/", {"max_buffer": 0}, "max_buffer must be"),
]


@pytest.mark.parametrize(("path", "options", "message"), REFUSED)
def test_an_invalid_argument_is_refused(path: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LegacyRoute(path, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"legacy": ["/logs"]}, "legacy must contain only LegacyRoutes, got '/logs'"),
        ({"adapters": {"application/x-foo": "nope"}}, "the adapter of application/x-foo must be"),
        ({"adapters": {"application/x-foo": None}}, "the adapter of .* must be one of"),
        ({"adapters": {"lines": Lines}}, "adapters must map media types to adapters, .* 'lines'"),
        ({"adapters": {5: Lines}}, "adapters must map media types to adapters, got the key 5"),
    ],
)
def test_an_invalid_argument_of_the_middleware_is_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        SSEMiddleware(app, **options)
