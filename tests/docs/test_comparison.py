"""What docs/comparison.md says of fastapi.sse and sse-starlette, in the versions that it names."""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Message

from sse_middleware import SSEMiddleware, event_stream
from tests.docs.pages import DOCS

PAGE = (DOCS / "comparison.md").read_text("utf-8")
NAMED = dict(re.findall(r"(fastapi|sse-starlette) ([\d.]+)", PAGE))

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        any(not version(name).startswith(named) for name, named in NAMED.items()),
        reason="the page is about other versions",
    ),
]

Generator = Callable[[], AsyncIterator[Any]]


def of_fastapi(generator: Generator) -> Any:
    sse = pytest.importorskip("fastapi.sse")
    app = FastAPI()
    app.get("/", response_class=sse.EventSourceResponse)(generator)
    return app


def of_sse_starlette(generator: Generator, **options: Any) -> Any:
    sse = pytest.importorskip("sse_starlette")

    async def endpoint(request: Any) -> Any:
        return sse.EventSourceResponse(generator(), **options)

    return Starlette(routes=[Route("/", endpoint)])


def ours(generator: Generator) -> Any:
    app = FastAPI()
    app.add_middleware(SSEMiddleware)
    app.get("/")(event_stream(generator))
    return app


APPS = {"fastapi.sse": of_fastapi, "sse-starlette": of_sse_starlette, "sse_middleware": ours}


def each(**expected: Any) -> pytest.MarkDecorator:
    """Give a test each library, and what is expected of it."""
    names = {"fastapi": "fastapi.sse", "starlette": "sse-starlette", "ours": "sse_middleware"}
    return pytest.mark.parametrize(
        ("library", "expected"), [(names[name], value) for name, value in expected.items()]
    )


async def sent(
    app: Any, *, leave: Callable[[], Awaitable[object]] | None = None
) -> tuple[int, list[bytes]]:
    """Return the status and the messages that an application sends for a GET.

    Args:
        leave: the client leaves when this returns. By default it stays.
    """
    messages: list[Message] = []
    asked = False

    async def receive() -> Message:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await (leave or anyio.sleep_forever)()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        messages.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "http_version": "1.1",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "scheme": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
    }
    with suppress(Exception):  # the server would log it
        await app(scope, receive, send)
    bodies = [one["body"] for one in messages if one.get("body")]
    return messages[0]["status"], bodies


@each(fastapi=200, starlette=200, ours=500)
async def test_the_status_of_an_error_before_the_first_event(library: str, expected: int) -> None:
    async def fails() -> AsyncIterator[dict[str, int]]:
        raise RuntimeError
        yield {}

    assert (await sent(APPS[library](fails)))[0] == expected


@each(fastapi=3, starlette=3, ours=1)
async def test_messages_of_three_events_that_are_ready(library: str, expected: int) -> None:
    async def three() -> AsyncIterator[dict[str, int]]:
        for number in range(3):
            yield {"data": number}

    _, bodies = await sent(APPS[library](three))
    assert b"".join(bodies).count(b"data:") == 3
    assert len(bodies) == expected


@each(fastapi={"data": 1}, starlette=1, ours={"data": 1})
async def test_a_dict(library: str, expected: object) -> None:
    async def one() -> AsyncIterator[dict[str, int]]:
        yield {"data": 1}

    _, bodies = await sent(APPS[library](one))
    [data] = re.findall(rb"data: (.*?)\r?\n", b"".join(bodies))
    assert json.loads(data) == expected


@each(fastapi=False, starlette=False, ours=True)
async def test_an_await_in_finally_completes(
    library: str, expected: bool, anyio_backend_name: str
) -> None:
    if anyio_backend_name == "trio":
        pytest.skip("on trio each await is cancelled again")
    log: list[str] = []

    async def endless() -> AsyncIterator[dict[str, int]]:
        try:
            yield {"data": 1}
            await anyio.sleep_forever()
        finally:
            log.append("finally")
            await anyio.sleep(0.01)
            log.append("cleaned")

    await sent(APPS[library](endless), leave=lambda: anyio.sleep(1))
    assert log[0] == "finally"
    assert ("cleaned" in log) is expected


@each(fastapi=False, starlette=True, ours=True)
async def test_all_arrives_that_was_sent_before_an_error(library: str, expected: bool) -> None:
    async def fails() -> AsyncIterator[dict[str, int]]:
        for number in range(3):
            yield {"data": number}
        raise RuntimeError

    _, bodies = await sent(APPS[library](fails))
    assert (b"".join(bodies).count(b"data:") == 3) is expected


@each(fastapi=0, starlette=3, ours=0)
async def test_keep_alives_of_a_minute_that_is_never_silent(library: str, expected: int) -> None:
    async def busy() -> AsyncIterator[dict[str, int]]:
        for number in range(11):
            yield {"data": number}
            await anyio.sleep(5)

    _, bodies = await sent(APPS[library](busy))
    assert b"".join(bodies).count(b": ping") == expected


def test_the_tests_that_the_page_names_exist() -> None:
    _, _, named = PAGE.partition("## How each row is shown")
    tests, paths = re.findall(r"`(test_\w+)`", named), re.findall(r"`(tests/[\w/.]+)`", named)
    assert len(tests) >= 6
    assert set(tests) <= globals().keys()
    assert all((DOCS.parent / path).exists() for path in paths)
