"""Clients resume the streams of docs/runs.md after a cut, each in the way of its own protocol."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.npm import node
from tests.patience import PATIENCE
from tests.presets.clients.conftest import Served, client_library, served

pytestmark = pytest.mark.e2e

SCRIPT = Path(__file__).with_name("ai_sdk_resume.mjs")


@pytest.fixture
def documented() -> Iterator[Served]:
    with served("tests.presets.clients.documented") as server:
        yield server


def test_the_ai_sdk(documented: Served, npm_packages: Path) -> None:
    command = [node(), str(SCRIPT), str(npm_packages), documented.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert read["first"] == {"type": "text-delta", "id": "text", "delta": "one "}
    (part,) = read["message"]["parts"]
    assert part == {"type": "text", "text": "one two three ", "state": "done"}
    assert (read["before"], read["after"]) == (None, None)
    assert read["statuses"] == [204, 200, 200, 204]


def test_openai_responses(documented: Served) -> None:
    openai: Any = client_library("openai")
    options = {"base_url": f"{documented.url}/v1", "api_key": "none", "max_retries": 0}
    with openai.OpenAI(**options, timeout=20) as client:
        with client.responses.create(
            model="m", input="one two three", stream=True, background=True
        ) as stream:
            created, first = next(stream), next(stream)
        assert (first.type, first.delta) == ("response.output_text.delta", "one ")

        with client.responses.retrieve(
            created.response.id, stream=True, starting_after=first.sequence_number
        ) as stream:
            httpx.post(f"{documented.url}/go", timeout=PATIENCE).raise_for_status()
            rest = list(stream)
    assert [event.sequence_number for event in rest] == [2, 3, 4]
    assert [event.delta for event in rest[:-1]] == ["two ", "three "]
    assert rest[-1].type == "response.completed"
    assert rest[-1].response.output_text == "one two three "


def test_openai_learns_of_a_response_that_is_stopped(documented: Served) -> None:
    openai: Any = client_library("openai")
    options = {"base_url": f"{documented.url}/v1", "api_key": "none", "max_retries": 0}
    with openai.OpenAI(**options, timeout=20) as client:
        stream = client.responses.create(model="m", input="one two", stream=True, background=True)
        created, first = next(stream), next(stream)
        assert client.responses.cancel(created.response.id).status == "cancelled"
        assert list(stream) == []
        with client.responses.retrieve(created.response.id, stream=True) as whole:
            assert [event.type for event in whole] == [created.type, first.type]
