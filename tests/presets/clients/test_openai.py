"""OpenAI's own client reads the streams."""

from typing import Any

import pytest

from tests.presets.clients.conftest import Served, client_library

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]

openai: Any = client_library("openai")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def read(url: str, seen: list[str], **options: Any) -> Any:
    """Return the reason that the last chunk gives."""
    reason = None
    client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=20)
    async with client:
        stream = await client.chat.completions.create(
            model="echo",
            messages=[{"role": "user", "content": "one two three"}],
            stream=True,
        )
        async for chunk in stream:
            assert isinstance(chunk, openai.types.chat.ChatCompletionChunk)
            seen.append(chunk.choices[0].delta.content or "")
            reason = chunk.choices[0].finish_reason
            for then in options.values():
                then()
    return reason


async def test_a_completion(example: str) -> None:
    seen: list[str] = []
    assert await read(f"{example}/v1", seen) == "stop"
    assert seen == ["one ", "two ", "three ", ""]


async def test_an_error_after_keep_alives(troubled: Served) -> None:
    seen: list[str] = []
    with pytest.raises(openai.APIError) as caught:
        await read(f"{troubled.url}/openai/fail", seen)
    assert seen == ["Hello"]
    assert caught.value.message == "The server failed to complete the response."
    assert caught.value.type == "server_error"


async def test_a_server_that_stops(troubled: Served) -> None:
    seen: list[str] = []
    with pytest.raises(openai.APIError) as caught:
        await read(f"{troubled.url}/openai/hang", seen, stop=troubled.process.terminate)
    assert seen == ["Hello"]
    assert caught.value.message == "The server is stopping. Try again."


async def test_keep_alives_after_an_id(troubled: Served) -> None:
    seen: list[str] = []
    await read(f"{troubled.url}/ids", seen)
    assert seen == ["Hello"] * 3
