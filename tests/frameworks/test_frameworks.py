"""Applications of many frameworks, none of which knows of the middleware, over real sockets.

What holds for all of them is one contract. A plain generator, as Flask's, can't be cancelled: it is
stopped when it yields next.
"""

import select
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import httpx
import pytest

from sse_middleware import Comment, EventStreamDecoder, MessageEvent

pytestmark = pytest.mark.e2e

COUNT = 300
PATIENCE = 20.0
EVENTS = {"accept": "text/event-stream"}

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
    "flask_app": "flask",
}
"""The applications, and what each needs."""


@dataclass(frozen=True)
class Running:
    """An application that is being served."""

    name: str
    bare: str
    wrapped: str
    journal: IO[str]

    def told(self) -> str:
        """Return the next line that the application tells, or fail."""
        ready, _, _ = select.select([self.journal], [], [], PATIENCE)
        assert ready, f"{self.name} told nothing within {PATIENCE:g} s"
        return self.journal.readline().strip()


@pytest.fixture(scope="module", params=FRAMEWORKS)
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    pytest.importorskip(FRAMEWORKS[request.param])
    command = [sys.executable, "-m", "tests.frameworks.serve", request.param]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdout is not None
        bare, wrapped = process.stdout.readline().split()
        try:
            yield Running(
                request.param,
                f"http://127.0.0.1:{bare}",
                f"http://127.0.0.1:{wrapped}",
                process.stdout,
            )
        finally:
            process.kill()


def get(url: str, headers: dict[str, str]) -> httpx.Response:
    return httpx.get(url, params={"count": COUNT}, headers=headers, timeout=PATIENCE)


def events_of(body: bytes) -> list[MessageEvent]:
    decoded = EventStreamDecoder().feed(body)
    return [event for event in decoded if isinstance(event, MessageEvent)]


def headers_of(response: httpx.Response) -> list[tuple[str, str]]:
    """The headers of an answer, but for its moment and its variation."""
    return sorted(
        header for header in response.headers.items() if header[0] not in ("date", "vary")
    )


def test_its_events_come_through_unchanged(running: Running) -> None:
    wrapped = get(f"{running.wrapped}/events", EVENTS)
    assert wrapped.headers["content-type"].startswith("text/event-stream")
    assert wrapped.content == get(f"{running.bare}/events", EVENTS).content
    assert len(events_of(wrapped.content)) == COUNT


def test_its_lines_become_events(running: Running) -> None:
    response = get(f"{running.wrapped}/lines", EVENTS)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "accept" in response.headers["vary"].lower()
    lines = get(f"{running.bare}/lines", {}).text.splitlines()
    assert [event.data for event in events_of(response.content)] == lines
    assert len(lines) == COUNT


@pytest.mark.parametrize("accept", ["*/*", "application/x-ndjson, application/jsonl"])
def test_who_wants_no_events_gets_what_there_always_was(running: Running, accept: str) -> None:
    headers = {"accept": accept}
    wrapped, bare = (get(f"{url}/lines", headers) for url in (running.wrapped, running.bare))
    assert wrapped.content == bare.content
    assert headers_of(wrapped) == headers_of(bare)
    assert "accept" in wrapped.headers["vary"].lower()


def test_silence_is_broken_and_leaving_stops_it(running: Running) -> None:
    with httpx.stream(
        "GET", f"{running.wrapped}/quiet", headers=EVENTS, timeout=PATIENCE
    ) as stream:
        decoder = EventStreamDecoder()
        comments: list[str] = []
        for chunk in stream.iter_bytes():
            found = decoder.feed(chunk)
            comments += [one.text for one in found if isinstance(one, Comment)]
            if comments.count("ping") == 2:
                break
    assert running.told() == "closed"


def outcome(url: str) -> tuple[list[str], bool]:
    """Return the data of the events that arrive, and whether the body breaks then."""
    body, breaks = b"", False
    with httpx.stream("GET", f"{url}/broken", headers=EVENTS, timeout=PATIENCE) as stream:
        try:
            for chunk in stream.iter_bytes():
                body += chunk
        except httpx.RemoteProtocolError:
            breaks = True
    return [event.data for event in events_of(body)], breaks


def test_what_came_before_an_error_arrives_and_the_body_ends_as_without_us(
    running: Running,
) -> None:
    events, breaks = outcome(running.wrapped)
    assert (events, breaks) == outcome(running.bare)
    assert len(events) == 2
    assert breaks is (running.name != "fastapi_app"), "FastAPI ends such a body as a complete one"
