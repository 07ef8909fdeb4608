"""A silent stream stays alive, and nothing is held back."""

import pytest

from sse_middleware.wire import Comment, MessageEvent

from .client import Client
from .servers import WHOLE_LIFE, Server

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("target", ["/silent", "/silent-in-thread"])
def test_comments_arrive_in_silence(server: Server, client: Client, name: str, target: str) -> None:
    client.get(f"{target}?name={name}")
    stream = client.events()

    assert next(stream) == MessageEvent('"first"')
    assert next(stream) == Comment("ping")
    assert next(stream) == Comment("ping")
    client.rst()
    server.release(name)
    assert server.journal(name, 3) == WHOLE_LIFE


def test_the_headers_arrive_before_the_first_event(
    server: Server, client: Client, name: str
) -> None:
    head = client.get(f"/opens-early?name={name}")

    assert head.status == 200
    assert head.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert server.journal(name, 1) == ["started"]
