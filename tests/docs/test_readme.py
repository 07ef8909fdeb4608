"""The examples of the README work, and the page is short."""

from typing import Any

import pytest

from sse_middleware.testing import EventClient
from tests.docs.pages import ROOT, blocks_of, run_page

pytest.importorskip("fastapi", minversion="0.115.10")

pytestmark = pytest.mark.anyio

README = ROOT / "README.md"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return run_page(README, monkeypatch)


def test_it_is_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 130


async def test_the_quickstart_prints_what_is_shown() -> None:
    names: dict[str, Any] = {}
    exec(blocks_of(README, "python")[0].code, names)
    async with EventClient(names["app"]) as client:
        assert (await client.get("/count")).text == blocks_of(README, "text")[0].code


async def test_the_chat_is_resumed(names: dict[str, Any]) -> None:
    async with EventClient(names["app"]) as client:
        answer = (await client.post("/answers?question=why")).json()["answer"]
        async with client.stream("GET", f"/answers/{answer}") as events:
            first = await events.next()
        again = {"last-event-id": first.id or ""}
        async with client.stream("GET", f"/answers/{answer}", headers=again) as events:
            words = [first.json(), *[event.json() async for event in events]]
    assert "".join(words) == "You asked: why"


async def test_the_room_is_heard_by_all(names: dict[str, Any]) -> None:
    async with EventClient(names["app"]) as client:
        await client.post("/say", json={"text": "hello"})
        async with client.stream("GET", "/events") as one, client.stream("GET", "/events") as two:
            for events in (one, two):
                assert (await events.next()).json() == {"text": "hello"}
