"""The applications of the recipes do what their pages say."""

import logging
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

from sse_middleware.testing import EventClient
from tests.docs.pages import DOCS, blocks_of, run_page

pytest.importorskip("fastapi", minversion="0.115.10")

pytestmark = pytest.mark.anyio

ANN = {"cookie": "session=secret-of-ann"}

Recipe = Callable[[str], dict[str, Any]]


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """Return a function that runs the Python of a page and returns its names.

    Real models are left out, also where their libraries are here.
    """
    return lambda name: run_page(DOCS / f"{name}.md", monkeypatch, without=("anthropic", "openai"))


def shown(name: str) -> list[str]:
    """Return the outputs that a page shows."""
    return [block.code for block in blocks_of(DOCS / f"{name}.md", "text")]


class TestTheTutorial:
    @pytest.mark.parametrize(
        ("path", "headers", "number"),
        [("/count", {}, 0), ("/book", {"last-event-id": "2"}, 2)],
    )
    async def test_curl_prints_what_is_shown(
        self, recipe: Recipe, path: str, headers: dict[str, str], number: int
    ) -> None:
        async with EventClient(recipe("tutorial")["app"]) as client:
            answer = await client.get(path, headers=headers)
        assert answer.text == shown("tutorial")[number]

    async def test_the_book_ends(self, recipe: Recipe) -> None:
        async with EventClient(recipe("tutorial")["app"]) as client:
            assert (await client.get("/book", headers={"last-event-id": "3"})).status_code == 204
            assert len((await client.get("/book")).text.split("\n\n")) == 4

    async def test_silence_is_filled(self, recipe: Recipe) -> None:
        async with (
            EventClient(recipe("tutorial")["app"], timeout=60) as client,
            client.stream("GET", "/quiet") as events,
        ):
            await events.next()
            await events.next_comment()
            await events.next_comment()
            assert events.body.decode() == shown("tutorial")[1]

    async def test_finally_runs_when_the_client_leaves(
        self, recipe: Recipe, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async with EventClient(recipe("tutorial")["app"]) as client:
            async with client.stream("GET", "/clock") as events:
                await events.next()
            assert "the client has left" in capsys.readouterr().out


async def ask(client: EventClient, text: str) -> str:
    answer: str = (await client.post("/answers", json={"text": text})).json()["answer"]
    return answer


class TestALlmChat:
    async def test_the_answer_is_read_twice_and_ends_with_204(self, recipe: Recipe) -> None:
        async with EventClient(recipe("recipes/llm-chat")["app"]) as client:
            path = f"/answers/{await ask(client, 'why?')}/events"
            for _ in range(2):
                async with client.stream("GET", path) as events:
                    words = [event.json() async for event in events]
                    last = events.last_event_id
                assert "".join(words) == "You asked: why? "
            again = await client.get(path, headers={"last-event-id": last})
            assert again.status_code == 204

    async def test_a_model_that_fails_is_told(self, recipe: Recipe) -> None:
        page = recipe("recipes/llm-chat")

        async def failing(_question: str) -> AsyncIterator[str]:
            yield "Well, "
            raise TimeoutError

        page["model"] = failing
        async with EventClient(page["app"]) as client:
            path = f"/answers/{await ask(client, 'why?')}/events"
            async with client.stream("GET", path) as events:
                told = [(event.event, event.json()) async for event in events]
            assert told == [(None, "Well, "), ("failed", {"reason": "TimeoutError"})]

    async def test_the_request_that_asks_comes_back_for_the_rest(self, recipe: Recipe) -> None:
        async with EventClient(recipe("recipes/llm-chat")["app"]) as client:
            question = {"text": "why?"}
            async with client.stream("POST", "/chats/7", json=question) as events:
                words = [(await events.next()).json()]
                await events.reconnect()
                words += [event.json() async for event in events]
                assert "".join(words) == "You asked: why? "
                await events.reconnect()
                assert events.response.status_code == 204
            assert "why?" in (await client.get("/answers/7/events")).text

    async def test_it_is_stopped(self, recipe: Recipe) -> None:
        async with EventClient(recipe("recipes/llm-chat")["app"]) as client:
            answer = await ask(client, "word " * 50)
            async with client.stream("GET", f"/answers/{answer}/events") as events:
                await events.next()
                await client.post(f"/answers/{answer}/stop")
                assert len([event async for event in events]) < 50

    async def test_a_client_of_openai_gets_its_end(self, recipe: Recipe) -> None:
        async with EventClient(recipe("recipes/llm-chat")["app"]) as client:
            assert (await client.post("/v1/chat/completions")).text.endswith("data: [DONE]\n\n")


async def test_a_room(recipe: Recipe) -> None:
    said = [{"name": "ann", "text": "hello"}, {"name": "ben", "text": "hi"}]
    async with EventClient(recipe("recipes/rooms")["app"]) as client:
        await client.post("/rooms/lobby", json=said[0])
        async with client.stream("GET", "/rooms/lobby/events") as events:
            assert (await events.next()).json() == said[0]
            await client.post("/rooms/lobby", json=said[1])
            assert (await events.next()).json() == said[1]
            await events.disconnect()
            await client.post("/rooms/lobby", json=said[0])
            await events.reconnect()
            assert (await events.next()).json() == said[0]


async def test_a_newcomer_gets_the_newest_twenty(recipe: Recipe) -> None:
    async with EventClient(recipe("recipes/rooms")["app"]) as client:
        for said, expected in [(20, range(20)), (2, range(2, 22)), (98, range(100, 120))]:
            for number in range(expected[-1] + 1 - said, expected[-1] + 1):
                await client.post("/rooms/lobby", json={"name": "ann", "text": str(number)})
            async with client.stream("GET", "/rooms/lobby/newest") as events:
                texts = [event.json()["text"] for event in await events.take(20)]
            assert texts == [str(number) for number in expected]


async def test_only_the_user_gets_a_notification(recipe: Recipe) -> None:
    names = recipe("recipes/notifications")
    async with EventClient(names["app"]) as client:
        assert (await client.get("/notifications")).status_code == 401
        ben = client.stream("GET", "/notifications", headers={"cookie": "session=secret-of-ben"})
        async with client.stream("GET", "/notifications", headers=ANN) as events, ben as others:
            await others.next_id()
            await client.post("/orders/7/ship")
            event = await events.next()
            assert event.event == "notification"
            assert event.json() == {"title": "Order 7 is on its way", "link": "/orders/7"}
            await names["hub"].publish("everybody", "maintenance")
            assert (await others.next()).json() == "maintenance"


class TestAJob:
    async def test_its_progress_and_its_end(self, recipe: Recipe) -> None:
        async with EventClient(recipe("recipes/jobs")["app"]) as client:
            job = (await client.post("/jobs")).json()["job"]
            async with client.stream("GET", f"/jobs/{job}/events") as events:
                seen = [(event.event, event.json()) async for event in events]
        assert [event for event, _ in seen] == ["progress"] * 11 + ["done"]
        assert seen[-2:] == [("progress", {"percent": 100}), ("done", {"file": "report.csv"})]

    async def test_it_is_cancelled_once(self, recipe: Recipe) -> None:
        async with EventClient(recipe("recipes/jobs")["app"]) as client:
            job = (await client.post("/jobs")).json()["job"]
            async with client.stream("GET", f"/jobs/{job}/events") as events:
                await events.next()
                answers = [(await client.request("DELETE", f"/jobs/{job}")).json() for _ in "12"]
                assert answers == [{"cancelled": True}, {"cancelled": False}]
                assert len([event async for event in events]) < 11


async def test_a_dashboard_loses_no_change(recipe: Recipe) -> None:
    async with EventClient(recipe("recipes/dashboards")["app"]) as client:
        state = (await client.get("/numbers")).json()
        assert state["numbers"] == {"orders": 0, "visitors": 0}
        await client.post("/orders")  # between the two requests of the page
        path = f"/numbers/events?last_event_id={state['at']}"
        async with client.stream("GET", path) as events:
            assert (await events.next()).json() == {"orders": 1, "visitors": 0}


class TestAuthentication:
    async def test_a_user_who_signs_out_loses_the_stream(self, recipe: Recipe) -> None:
        async with EventClient(recipe("recipes/authentication")["app"]) as client:
            assert (await client.get("/events")).status_code == 401
            async with client.stream("GET", "/events", headers=ANN) as events:
                await events.next_id()
                await client.post("/sign-out", headers=ANN)
                assert [event async for event in events] == []
            assert (await client.get("/events", headers=ANN)).status_code == 401

    async def test_a_stream_ends_after_a_quarter_of_an_hour(self, recipe: Recipe) -> None:
        async with (
            EventClient(recipe("recipes/authentication")["app"], timeout=1000) as client,
            client.stream("GET", "/events", headers=ANN) as events,
        ):
            before = anyio.current_time()
            assert [event async for event in events] == []
            assert 810 <= anyio.current_time() - before <= 901

    async def test_a_ticket(self, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
        names = recipe("recipes/authentication")
        async with EventClient(names["app"]) as client:
            assert (await client.post("/tickets")).status_code == 401
            headers = {"authorization": "Bearer token-of-ann"}
            ticket = (await client.post("/tickets", headers=headers)).json()["ticket"]
            async with client.stream("GET", f"/streams?ticket={ticket}") as events:
                await events.next_id()
                await names["hub"].publish("user:ann", 1)
                assert (await events.next()).json() == 1
            assert (await client.get("/streams?ticket=another")).status_code == 401
            later = names["monotonic"]() + 61
            monkeypatch.setitem(names, "monotonic", lambda: later)
            assert (await client.get(f"/streams?ticket={ticket}")).status_code == 401

    async def test_a_ticket_is_not_logged(self, recipe: Recipe) -> None:
        logger = logging.getLogger("uvicorn.access")
        recipe("recipes/authentication")
        args = ("127.0.0.1:5", "GET", "/streams?ticket=secret", "1.1", 200)
        record = logger.makeRecord("", 20, "", 1, '%s - "%s %s HTTP/%s" %d', args, None)
        added = logger.filters[-1]
        assert logger.filter(record)
        logger.removeFilter(added)
        assert record.getMessage() == '127.0.0.1:5 - "GET /streams HTTP/1.1" 200'

    async def test_another_host_may_read_and_is_told_of_refusals(self, recipe: Recipe) -> None:
        origin = {"origin": "https://shop.example"}
        async with EventClient(recipe("recipes/authentication")["app"]) as client:
            refused = await client.get("/events", headers=origin)
            assert refused.status_code == 401
            assert refused.headers["access-control-allow-origin"] == "https://shop.example"
            assert refused.headers["access-control-allow-credentials"] == "true"


async def test_no_session_is_held(recipe: Recipe) -> None:
    names = recipe("recipes/database")
    async with EventClient(names["app"]) as client:
        assert (await client.get("/orders/2/events")).status_code == 404
        async with client.stream("GET", "/orders/1/events") as events:
            assert (await events.next()).json() == "packed"
            assert names["Session"].open == 0
            await client.request("PUT", "/orders/1/shipped")
            assert (await events.next()).json() == "shipped"
            assert names["Session"].open == 0


@pytest.mark.parametrize(("path", "number"), [("/rows", 0), ("/logs/today", 1)])
async def test_ndjson(recipe: Recipe, path: str, number: int) -> None:
    async with EventClient(recipe("recipes/ndjson")["app"]) as client:
        events = await client.get(path, headers={"accept": "text/event-stream"})
        assert sorted(re.split("\n+", events.text)) == sorted(
            re.split("\n+", shown("recipes/ndjson")[number])
        )
        plain = await client.http.get(path, headers={"accept": "*/*"})
        assert plain.text == '{"n": 1}\n{"n": 2}\n'


@pytest.mark.parametrize(("name", "path"), [("htmx", "/news"), ("datastar", "/launch")])
async def test_a_page_is_told_what_is_shown(recipe: Recipe, name: str, path: str) -> None:
    async with EventClient(recipe(f"recipes/{name}")["app"]) as client:
        assert (await client.get(path)).text == shown(f"recipes/{name}")[0]
