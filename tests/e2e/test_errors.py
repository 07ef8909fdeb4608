"""An error before the first event is a response. A later one breaks the body off."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from sse_middleware.wire import MessageEvent

from .client import BrokenBodyError, Client
from .conftest import observed
from .servers import WHOLE_LIFE, Server

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def breaking(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return the server, or one of its kind that breaks off bodies."""
    kind = server.kind
    if not kind.breaks_off_with:
        yield server
        return
    kind = replace(kind, command=(*kind.command, *kind.breaks_off_with))
    with observed(kind, tmp_path_factory.mktemp(kind.name) / "output") as breaking:
        yield breaking


def test_an_http_exception_before_the_first_event_is_its_response(
    server: Server, client: Client, name: str
) -> None:
    head = client.get(f"/refuse?name={name}")

    assert head.status == 404
    assert "text/event-stream" not in head.headers["content-type"]
    assert client.body() == b"nothing by that name"
    assert server.journal(name, 3) == WHOLE_LIFE


@pytest.mark.parametrize("target", ["/fail", "/fail-in-thread"])
def test_any_other_exception_before_the_first_event_is_a_500(
    server: Server, client: Client, name: str, target: str
) -> None:
    head = client.get(f"{target}?name={name}")

    assert head.status == 500
    assert client.body() == b"Internal Server Error"
    assert server.journal(name, 3) == WHOLE_LIFE


@pytest.mark.parametrize(
    ("target", "events"),
    [
        ("/break-off", 1),
        ("/break-off", 1000),
        ("/break-off-later", 1000),
        ("/break-off-in-thread", 1000),
    ],
)
def test_an_exception_breaks_the_body_off_after_everything_that_was_yielded(
    breaking: Server, name: str, target: str, events: int
) -> None:
    with breaking.connect() as client:
        assert client.get(f"{target}?name={name}&events={events}").status == 200
        stream = client.events()
        arrived = [next(stream) for _ in range(events)]
        breaking.release(name)

        assert arrived == [MessageEvent(f'{{"number":{number}}}') for number in range(events)]
        assert breaking.journal(name, 3) == WHOLE_LIFE
        if breaking.kind.breaks_off:
            with pytest.raises(BrokenBodyError):
                next(stream)
        else:
            client.give_up_after(0.3)
            with pytest.raises(TimeoutError):
                next(stream)
