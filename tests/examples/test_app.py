"""The smallest example, read by curl's kind of client."""

import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from sse_middleware.wire import EventStreamDecoder, MessageEvent
from tests.e2e.client import HOST
from tests.e2e.servers import accepts, free_port
from tests.patience import PATIENCE

pytestmark = pytest.mark.e2e


def serving(module: str) -> Iterator[str]:
    """Run an example, and yield its address."""
    port = free_port()
    command = [sys.executable, "-m", module, "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield wait_for(port, process)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def example() -> Iterator[str]:
    yield from serving("examples.app")


def wait_for(port: int, process: "subprocess.Popen[str]") -> str:
    """Wait until a server listens. Returns its address."""
    assert accepts(process, port), f"it doesn't listen; its exit code: {process.poll()}"
    return f"http://{HOST}:{port}"


def read(response: httpx.Response, count: int) -> list[MessageEvent]:
    decoder = EventStreamDecoder()
    events: list[MessageEvent] = []
    for chunk in response.iter_raw():
        events += [event for event in decoder.feed(chunk) if isinstance(event, MessageEvent)]
        if len(events) >= count:
            break
    return events[:count]  # a chunk may hold the next one, too


def test_the_clock_resumes_after_the_last_event(example: str) -> None:
    headers = {"last-event-id": "41"}
    with httpx.stream("GET", f"{example}/clock", headers=headers, timeout=PATIENCE) as response:
        first, second = read(response, 2)
    assert (first.type, first.last_event_id, second.last_event_id) == ("tick", "42", "43")


def test_the_chat_answers_word_by_word(example: str) -> None:
    with httpx.stream(
        "POST", f"{example}/chat", json={"text": "hello"}, timeout=PATIENCE
    ) as response:
        words = [event.data for event in read(response, 4)]
    assert words == ['{"token":"You"}', '{"token":"said:"}', '{"token":"hello"}', "[DONE]"]


def test_silence_is_kept_alive(example: str) -> None:
    with httpx.stream("GET", f"{example}/quiet", timeout=PATIENCE) as response:
        assert next(response.iter_raw()) == b": ping\n\n"
