"""The examples of docs/runs.md work, and what the page says of them holds."""

import inspect
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from sse_middleware import Hub, RunState
from sse_middleware.errors import StoreError
from sse_middleware.hub.runs.plan import MAX_BYTES, TTL
from sse_middleware.testing import EventClient
from sse_middleware.wire import EventStreamDecoder, MessageEvent

pytest.importorskip("fastapi", minversion="0.115.10")

pytestmark = pytest.mark.anyio

DOCUMENT = Path(__file__).parents[2] / "docs" / "runs.md"
PAGE = DOCUMENT.read_text("utf-8")

MANY = "word " * 100


@pytest.fixture
def names() -> dict[str, Any]:
    """Return what the page's Python defines."""
    names: dict[str, Any] = {"__name__": "docs_runs"}
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(code, names)
    return names


@pytest.fixture
async def client(names: dict[str, Any]) -> AsyncIterator[EventClient]:
    async with EventClient(names["app"], timeout=1000) as client:
        yield client


def events_of(response: httpx.Response) -> list[MessageEvent]:
    assert response.status_code == 200
    events = EventStreamDecoder().feed(response.content)
    return [event for event in events if isinstance(event, MessageEvent)]


async def begin(client: EventClient, path: str, text: str = MANY) -> str:
    """Ask by a POST. Returns the key of the answer."""
    answer: str = (await client.post(path, json={"text": text})).json()["answer"]
    return answer


class TestAnAnswer:
    async def test_it_is_viewed_again_and_ends_with_204(self, client: EventClient) -> None:
        answer = await begin(client, "/answers", "one two three")
        async with client.stream("GET", f"/answers/{answer}/events") as events:
            first = await events.next()
        rest = await client.get(
            f"/answers/{answer}/events", headers={"last-event-id": first.id or ""}
        )
        assert [event.data for event in events_of(rest)] == ['"two "', '"three "']
        end = rest.text.rpartition("id: ")[2].strip()
        for id_, status in ((end, 204), ("", 200)):
            headers = {"last-event-id": id_}
            again = await client.get(f"/answers/{answer}/events", headers=headers)
            assert again.status_code == status
        assert (await client.get(f"/answers/{answer}")).json() == {"state": "done"}

    async def test_it_is_stopped_for_all(self, client: EventClient) -> None:
        answer = await begin(client, "/answers")
        path = f"/answers/{answer}"
        async with client.stream("GET", f"{path}/events") as events:
            await events.next()
            assert (await client.post(f"{path}/stop")).json() == {"stopped": True}
            assert len([event async for event in events]) < 99
        assert (await client.get(path)).json() == {"state": "stopped"}
        assert (await client.post(f"{path}/stop")).json() == {"stopped": False}

    async def test_one_that_is_gone(self, client: EventClient) -> None:
        answer = await begin(client, "/answers", "one")
        path = f"/answers/{answer}/events"
        first, *_ = events_of(await client.get(path))
        await anyio.sleep(TTL + 1)
        assert (await client.get(path)).status_code == 404
        headers = {"last-event-id": first.last_event_id}
        assert (await client.get(path, headers=headers)).status_code == 204
        assert (await client.get(f"/answers/{answer}")).json() == {"state": None}


async def test_what_was_written_is_saved_although_it_was_stopped(
    client: EventClient, names: dict[str, Any]
) -> None:
    answer = await begin(client, "/saved")
    async with client.stream("GET", f"/answers/{answer}/events") as events:
        await events.take(3)
        await names["hub"].stop(answer)
        async for _ in events:
            pass
    assert names["Session"].answers[answer].startswith("word word word ")
    assert len(names["Session"].answers[answer]) < len(MANY)


async def test_a_summary_is_made_once(client: EventClient, names: dict[str, Any]) -> None:
    made: list[str] = []

    async def model(text: str) -> AsyncIterator[str]:
        made.append(text)
        yield text

    names["model"] = model
    first, second = [await client.get("/summaries/report") for _ in range(2)]
    assert [event.data for event in events_of(first)] == ['"Summary of report"']
    assert events_of(second) == events_of(first)
    assert made == ["Summary of report"]
    await anyio.sleep(TTL + 1)
    headers = {"last-event-id": events_of(first)[0].last_event_id}
    gone = await client.get("/summaries/report", headers=headers)
    assert (gone.status_code, len(made)) == (204, 1)


async def test_only_the_owner_views(client: EventClient, names: dict[str, Any]) -> None:
    names["users"]["secret-of-ben"] = "ben"
    ann, ben = ({"cookie": f"session=secret-of-{name}"} for name in ("ann", "ben"))
    begun = await client.post("/mine", json={"text": MANY}, headers=ann)
    answer = begun.json()["answer"]
    path = f"/mine/{answer}/events"
    assert (await client.get(path)).status_code == 401
    assert (await client.get(path, headers=ben)).status_code == 404
    async with client.stream("GET", path, headers=ann) as events:
        await events.next()
        await names["sign_out"]("secret-of-ann")
        assert len([event async for event in events]) < 99
    assert (await client.get(path, headers=ann)).status_code == 401
    assert await names["hub"].state(answer) is RunState.RUNNING


async def test_an_error_is_told_to_all_viewers(client: EventClient) -> None:
    events = events_of(await client.post("/failing"))
    told = [(event.type, event.data) for event in events]
    assert told == [("message", '"Well, "'), ("failed", '{"reason":"TimeoutError"}')]


class TestTheAISDK:
    BODY: Any = {  # noqa: RUF012 - it is not changed
        "id": "c",
        "messages": [{"id": "1", "role": "user", "parts": [{"type": "text", "text": MANY}]}],
    }

    async def test_a_chat_is_resumed_while_it_runs(self, client: EventClient) -> None:
        assert (await client.get("/api/chat/c/stream")).status_code == 204
        async with client.stream("POST", "/api/chat", json=self.BODY) as events:
            first = await events.next()
        resumed = await client.get("/api/chat/c/stream")
        assert resumed.headers["x-vercel-ai-ui-message-stream"] == "v1"
        data = [event.data for event in events_of(resumed)]
        assert data[0] == first.raw_data
        assert data[-2:] == ['{"type":"finish"}', "[DONE]"]
        assert len(data) == 100 + 5
        assert (await client.get("/api/chat/c/stream")).status_code == 204

    async def test_each_message_has_a_run_of_its_own(self, client: EventClient) -> None:
        async with client.stream("POST", "/api/chat", json=self.BODY) as first:
            old = await first.next()
            async with client.stream("POST", "/api/chat", json=self.BODY) as second:
                assert (await second.next()).raw_data != old.raw_data
                assert len([event async for event in first]) < 100
            assert (await client.post("/api/chat/c/stop")).status_code == 200
        assert (await client.get("/api/chat/c/stream")).status_code == 204


async def test_an_event_source_comes_back_when_the_store_does(
    client: EventClient, names: dict[str, Any]
) -> None:
    async def away() -> None:
        raise StoreError("the store is away")

    names["app"].get("/away")(away)
    response = await client.get("/away", headers={"accept": "text/event-stream"})
    assert (response.status_code, response.text) == (200, "retry: 5000\n\n")


async def test_starting_after(client: EventClient) -> None:
    asked = {"model": "m", "input": "one two", "stream": True, "background": True}
    whole = events_of(await client.post("/v1/responses", json=asked))
    types = ["created", *["output_text.delta"] * 2, "completed"]
    assert [event.type for event in whole] == [f"response.{type_}" for type_ in types]
    found = re.search(r"resp_[\w-]+", whole[0].data)
    assert found
    path = f"/v1/responses/{found[0]}"
    rest = await client.get(f"{path}?stream=true&starting_after=1")
    assert events_of(rest) == whole[2:]
    assert events_of(await client.get(f"{path}?stream=true")) == whole
    assert (await client.post(f"{path}/cancel")).json()["status"] == "cancelled"


def test_the_page_requests_paths_that_exist(names: dict[str, Any]) -> None:
    paths = {route.path for route in names["app"].routes}
    requested = re.findall(r"(?:fetch|EventSource)\([\"`](/[\w/${}]*)", PAGE)
    assert {path.replace("$", "") for path in requested} == {
        "/answers",
        "/answers/{answer}/events",
        "/answers/{answer}",
    }
    assert {path.replace("$", "") for path in requested} <= paths


def test_the_page_has_all_states_and_arguments_with_their_defaults() -> None:
    states = PAGE.partition("| state | |\n")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` ", states, re.MULTILINE)) == set(RunState)
    shown = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \| [^|]*\|$", PAGE, re.MULTILINE))
    texts = {"TTL": "600", "MAX_BYTES": "16 MiB", "None": "none", "False": "false"}
    assert (TTL, MAX_BYTES) == (600, 16 * 2**20)
    parameters = inspect.signature(Hub.resumable).parameters.values()
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY:
            text = {TTL: "600", MAX_BYTES: "16 MiB"}.get(parameter.default)
            assert shown[parameter.name] == (text or texts[str(parameter.default)])


def test_the_page_links_to_files_that_exist() -> None:
    links = re.findall(r"\]\(((?:\.\./|\w)[^)#:]*)\)", PAGE)
    assert links
    assert all((DOCUMENT.parent / link).exists() for link in links)
