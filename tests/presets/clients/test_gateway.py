"""OpenAI's own clients read a scripted upstream through the example's gateway."""

import json
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.client import HOST
from tests.npm import install, node
from tests.patience import PATIENCE
from tests.presets.clients.conftest import Served, client_library, served

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]

openai: Any = client_library("openai")

SCRIPT = Path(__file__).with_name("openai.mjs")

BROKEN = ("reset", "cut", "half", "unfinished")
FAILED = "The server failed to complete the response."


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Served]:
    with served("tests.presets.clients.scripted_upstream") as server:
        yield server


@pytest.fixture(scope="module")
def gateway(upstream: Served) -> Iterator[str]:
    with served("examples.gateway", UPSTREAM_URL=f"{upstream.url}/v1") as server:
        yield f"{server.url}/v1"


@pytest.fixture(scope="module")
def hiding_gateway(upstream: Served) -> Iterator[str]:
    environment = {"UPSTREAM_URL": f"{upstream.url}/v1", "HIDE": "system_fingerprint"}
    with served("examples.gateway", **environment) as server:
        yield f"{server.url}/v1"


@pytest.fixture(scope="module")
def npm_openai(pytestconfig: pytest.Config) -> Path:
    return install(pytestconfig, "openai@7.57.0")


MESSAGES = [{"role": "user", "content": "one two"}]


@dataclass
class Read:
    """What a client has read of a stream."""

    text: str = ""
    reason: str | None = None


async def read(url: str, model: str, into: Read) -> None:
    async with openai.AsyncOpenAI(
        base_url=url, api_key="none", max_retries=0, timeout=20
    ) as client:
        stream = await client.chat.completions.create(model=model, messages=MESSAGES, stream=True)
        async for chunk in stream:
            into.text += chunk.choices[0].delta.content or ""
            into.reason = chunk.choices[0].finish_reason


def read_in_node(packages: Path, url: str, model: str) -> dict[str, Any]:
    done = subprocess.run(
        [node(), str(SCRIPT), str(packages), url, model],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def body(model: str) -> dict[str, Any]:
    return {"model": model, "messages": MESSAGES, "stream": True}


async def test_a_stream_passes(gateway: str, hiding_gateway: str) -> None:
    for url in (gateway, hiding_gateway):
        found = Read()
        await read(url, "echo", found)
        assert found == Read("Hello one two", "stop")


def test_a_stream_passes_to_node(gateway: str, npm_openai: Path) -> None:
    found = read_in_node(npm_openai, gateway, "echo")
    assert (found["text"], found["reason"], found["error"]) == ("Hello one two", "stop", None)


def test_a_stream_passes_byte_for_byte_unless_a_field_is_hidden(
    upstream: Served, gateway: str, hiding_gateway: str
) -> None:
    direct, passed, hidden = (
        httpx.post(f"{url}/chat/completions", json=body("echo"), timeout=PATIENCE).text
        for url in (f"{upstream.url}/v1", gateway, hiding_gateway)
    )
    assert passed == direct
    assert "fp_secret" in direct
    assert "fp_secret" not in hidden
    assert hidden.endswith("data: [DONE]\n\n")
    assert hidden.count("[DONE]") == 1
    assert hidden.count("data: ") == direct.count("data: ")


async def test_an_answer_that_is_no_stream_passes(gateway: str) -> None:
    async with openai.AsyncOpenAI(base_url=gateway, api_key="none") as client:
        answer = await client.chat.completions.create(model="echo", messages=MESSAGES)
    assert answer.choices[0].message.content == "one two"


@pytest.mark.parametrize("model", BROKEN)
async def test_a_broken_upstream_is_an_error_and_no_end(
    gateway: str, hiding_gateway: str, model: str
) -> None:
    for url in (gateway, hiding_gateway):
        found = Read()
        with pytest.raises(openai.APIError) as caught:
            await read(url, model, found)
        assert found == Read("Hello", None)
        assert caught.value.message == FAILED


@pytest.mark.parametrize("model", BROKEN)
def test_a_broken_upstream_is_an_error_in_node(gateway: str, npm_openai: Path, model: str) -> None:
    found = read_in_node(npm_openai, gateway, model)
    assert (found["text"], found["reason"]) == ("Hello", None)
    assert FAILED in found["error"]


@pytest.mark.parametrize("model", BROKEN)
async def test_without_the_gateway_some_of_these_look_complete(
    upstream: Served, model: str
) -> None:
    found = Read()
    try:
        await read(f"{upstream.url}/v1", model, found)
    except (openai.APIError, httpx.HTTPError):
        assert model in ("reset", "cut")
    else:
        assert model in ("half", "unfinished")
    assert found.text == "Hello"


async def test_what_the_upstream_says_of_a_request_passes(gateway: str) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        await read(gateway, "busy", Read())
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.response.headers["retry-after"] == "7"


def test_what_the_upstream_says_of_a_request_passes_to_node(gateway: str, npm_openai: Path) -> None:
    found = read_in_node(npm_openai, gateway, "busy")
    assert (found["status"], found["retryAfter"]) == (429, "7")
    assert "slow down" in found["error"]


@pytest.mark.parametrize("model", ["forbidden", "html"])
async def test_what_it_says_of_the_gateway_does_not_pass(gateway: str, model: str) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        await read(gateway, model, Read())
    assert caught.value.status_code == 502
    assert "The model can't be reached." in caught.value.message


async def test_an_upstream_that_is_away_is_a_bad_gateway() -> None:
    with served("examples.gateway", UPSTREAM_URL="http://127.0.0.1:9/v1") as server:
        with pytest.raises(openai.InternalServerError) as caught:
            await read(f"{server.url}/v1", "echo", Read())
        assert caught.value.status_code == 502


def test_the_upstream_sees_that_the_client_leaves(upstream: Served, gateway: str) -> None:
    assert upstream.process.stdout is not None
    url = f"{gateway}/chat/completions"
    with httpx.stream("POST", url, json=body("hang"), timeout=20) as response:
        assert next(response.iter_bytes()).startswith(b"data: ")
    assert upstream.process.stdout.readline() == "the client has left\n"
    content = json.dumps(body("silent")).encode()
    head = f"POST {urlsplit(url).path} HTTP/1.1\r\nhost: gateway\r\ncontent-length: {len(content)}"
    with socket.create_connection((HOST, urlsplit(url).port), PATIENCE) as client:
        client.sendall(f"{head}\r\ncontent-type: application/json\r\n\r\n".encode() + content)
        assert upstream.process.stdout.readline() == "asked\n"
        # It leaves while there is no head yet.
    assert upstream.process.stdout.readline() == "the client has left\n"
