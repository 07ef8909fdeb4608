"""The examples of docs/hub.md work, and the page knows the reasons of gaps."""

import re
from pathlib import Path
from typing import Any

import pytest

from sse_middleware import Keep
from sse_middleware.testing import EventClient

pytest.importorskip("fastapi", minversion="0.115.10")

DOCUMENT = Path(__file__).parents[2] / "docs" / "hub.md"
PAGE = DOCUMENT.read_text("utf-8")


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """Return what the page's Python defines."""
    names: dict[str, Any] = {"__name__": "docs_hub"}
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(code, names)
    return names


def test_the_application_has_the_paths_that_the_page_requests(names: dict[str, Any]) -> None:
    paths = {route.path for route in names["app"].routes}
    requested = re.findall(r"(?:fetch|EventSource)\([\"`](/[\w/]*)", PAGE)
    assert {"/rooms/lobby/events", "/figures", "/figures/events"} == set(requested)
    assert {"/rooms/{room}/events", "/figures", "/figures/events", "/events"} <= paths


def test_a_stream_without_a_user_is_refused(names: dict[str, Any]) -> None:
    request = names["Request"]({"type": "http", "headers": []})
    with pytest.raises(names["HTTPException"]) as caught:
        names["user_of"](request)
    assert caught.value.status_code == 401


@pytest.mark.anyio
async def test_only_who_knows_the_token_publishes_and_only_to_rooms(
    names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def status(path: str, token: str) -> int:
        async with EventClient(names["app"], headers={"authorization": f"Bearer {token}"}) as one:
            return (await one.post(path, json={"text": "hello"})).status_code

    assert await status("/publish/room:lobby", "") == 403
    monkeypatch.setitem(names, "TOKEN", "secret")
    assert await status("/publish/room:lobby?event=message", "secret") == 200
    assert await status("/publish/room:lobby", "another") == 403
    assert await status("/publish/news", "secret") == 403


@pytest.mark.anyio
async def test_a_gap_is_sent_as_it_is_shown(
    names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    [shown] = re.findall(r"```text\n(event: gap\n.*?)```", PAGE, re.DOTALL)
    app = names["app"]
    hub = app.user_middleware[0].kwargs["hub"]  # a later block of the page takes another store
    monkeypatch.setitem(names, "hub", hub)
    async with EventClient(app) as client:
        ids = [await hub.publish("room:lobby", number) for number in range(Keep().count + 2)]
        position = {"last-event-id": ids[0]}
        async with client.stream("GET", "/rooms/lobby/events", headers=position) as events:
            gap = await events.next()
            assert re.sub("id: .*", f"id: {gap.id}", shown) in events.body.decode()


def test_the_page_links_to_files_that_exist() -> None:
    links = re.findall(r"\]\((\.\./[^)#]*)", PAGE)
    assert links
    assert all((DOCUMENT.parent / link).exists() for link in links)
