"""The chat by its requests: its models, and what it refuses."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from examples.chat import simulated_words
from sse_middleware.wire import EventStreamDecoder, MessageEvent
from tests.hub.redis.server import RedisServer, needed

from .chatting import Chat, chatting, waiting_model
from .test_app import read

pytestmark = pytest.mark.e2e

UNKNOWN = "A" * 22


@pytest.fixture(scope="module", params=["file", "redis"])
def chat(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Chat]:
    """Serve a chat whose model needs no time, on each of the stores that workers share."""
    directory = tmp_path_factory.mktemp("chat")
    with ExitStack() as stack:
        variables = {"PAUSE": "0"}
        if request.param == "redis":
            needed()
            redis = RedisServer(directory / "redis")
            stack.callback(redis.kill)
            variables["HUB_URL"] = redis.url
        yield stack.enter_context(chatting(directory, **variables))


@pytest.fixture
def client(chat: Chat) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=chat.url, timeout=20) as client:
        yield client


def begin(client: httpx.Client, question: str) -> str:
    """Ask a question in a chat of its own. Returns the path of the answer."""
    path = client.get("/").headers["location"]
    client.post(path, json={"text": question}).raise_for_status()
    with client.stream("GET", f"{path}/events") as response:
        (asked,) = read(response, 1)
    assert asked.type == "asked"
    event = json.loads(asked.data)
    assert event["question"] == question
    return f"/answers/{event['answer']}"


def events_of(body: bytes) -> list[MessageEvent]:
    events = EventStreamDecoder().feed(body)
    return [event for event in events if isinstance(event, MessageEvent)]


def text_of(events: list[MessageEvent]) -> str:
    return "".join(json.loads(event.data) for event in events)


def test_the_page_is_there(client: httpx.Client) -> None:
    page = client.get("/", follow_redirects=True)
    assert "EventSource" in page.text
    assert "//" not in page.text.replace("// ", ""), "nothing comes from elsewhere"


def test_an_answer_is_read_again_and_its_rest_too(client: httpx.Client) -> None:
    answer = begin(client, "Why?")
    whole = client.get(f"{answer}/events")
    events = events_of(whole.content)
    assert text_of(events) == " ".join(simulated_words("Why?")) + " "
    rest = client.get(f"{answer}/events", headers={"last-event-id": events[4].last_event_id})
    assert events_of(rest.content) == events[5:]
    last = whole.text.rpartition("id: ")[2].strip()
    assert client.get(f"{answer}/events", headers={"last-event-id": last}).status_code == 204
    assert client.get(answer).json() == {"state": "done"}


def test_an_answer_that_nobody_has_asked_for(client: httpx.Client) -> None:
    assert client.get(f"/answers/{UNKNOWN}").status_code == 404
    assert client.get(f"/answers/{UNKNOWN}/events").status_code == 404
    assert client.get("/answers/%00/events").status_code == 422


@pytest.mark.parametrize("text", [" ", "a" * 2001])
def test_a_question_that_is_refused(client: httpx.Client, text: str) -> None:
    assert client.post(f"/chats/{UNKNOWN}", json={"text": text}).status_code == 422


def test_a_model_with_the_interface_of_openai(tmp_path: Path) -> None:
    with (
        waiting_model() as model,
        chatting(tmp_path, **model.variables) as chat,
        httpx.Client(base_url=chat.url, timeout=20) as client,
    ):
        whole = client.get(f"{begin(client, 'one two')}/events")
        assert text_of(events_of(whole.content)) == "one two "
        model.wait_for_ending()

        answer = begin(client, "one two ...")
        with client.stream("GET", f"{answer}/events") as response:
            assert text_of(read(response, 2)) == "one two "
            client.post(f"{answer}/stop").raise_for_status()
        model.wait_for_ending()
        assert (
            text_of(events_of(client.get(f"{answer}/events").content)) == "one two "
        )  # to the end
        assert client.get(answer).json() == {"state": "stopped"}


def test_a_model_that_refuses(tmp_path: Path) -> None:
    with (
        waiting_model() as model,
        chatting(tmp_path, **model.variables | {"OPENAI_API_KEY": "wrong"}) as chat,
        httpx.Client(base_url=chat.url, timeout=20) as client,
    ):
        answer = begin(client, "one")
        assert events_of(client.get(f"{answer}/events").content) == []
        assert client.get(answer).json() == {"state": "error"}
        assert "401 Unauthorized" in chat.output.read_text()
