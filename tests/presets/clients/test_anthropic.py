"""Anthropic's own client reads the streams."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.presets.clients.conftest import Served, client_library

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]

anthropic: Any = client_library("anthropic")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def read(url: str, types: list[str], then: Callable[[], object] = list) -> Any:
    """Return the message, and note the types of the events."""
    client = anthropic.AsyncAnthropic(base_url=url, api_key="none", max_retries=0, timeout=20)
    messages: Any = [{"role": "user", "content": "one two"}]
    async with (
        client,
        client.messages.stream(model="echo", max_tokens=100, messages=messages) as stream,
    ):
        async for event in stream:
            types.append(event.type)
            then()
        return await stream.get_final_message()


async def test_a_message(example: str) -> None:
    types: list[str] = []
    message = await read(example, types)
    assert message.content[0].text == "one two "
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens == 2
    assert [types[0], types[-1]] == ["message_start", "message_stop"]


async def test_an_error_after_keep_alives(troubled: Served) -> None:
    types: list[str] = []
    with pytest.raises(anthropic.APIStatusError) as caught:
        await read(f"{troubled.url}/anthropic/fail", types)
    assert types == ["message_start"]
    message = "The server failed to complete the response."
    error = {"type": "api_error", "message": message}
    assert caught.value.body == {"type": "error", "error": error}


async def test_a_server_that_stops(troubled: Served) -> None:
    types: list[str] = []
    with pytest.raises(anthropic.APIStatusError) as caught:
        await read(f"{troubled.url}/anthropic/hang", types, troubled.process.terminate)
    assert types == ["message_start"]
    assert caught.value.body["error"]["type"] == "overloaded_error"
