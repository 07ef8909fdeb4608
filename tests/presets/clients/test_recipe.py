"""The models of docs/recipes/llm-chat.md: OpenAI's and Anthropic's clients, on servers of ours."""

from typing import Any

import pytest

from tests.docs.pages import DOCS, blocks_of, imported
from tests.presets.clients.conftest import client_library, served

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]

PAGE = DOCS / "recipes" / "llm-chat.md"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def model_of(library: str) -> Any:
    """Return the function of the page that uses a library."""
    client_library(library)
    first, *others = blocks_of(PAGE, "python")
    [block] = [block for block in others if library in imported(block.code)]
    names: dict[str, Any] = {}
    for code in (first.code, block.code):
        exec(compile(code, str(PAGE), "exec", dont_inherit=True), names)
    return names["model"]


@pytest.mark.parametrize(("library", "path"), [("openai", "/v1"), ("anthropic", "")])
async def test_a_model_yields_its_words(
    library: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(library)
    with served(f"examples.presets.{library}") as server:
        monkeypatch.setenv(f"{library.upper()}_BASE_URL", f"{server.url}{path}")
        monkeypatch.setenv(f"{library.upper()}_API_KEY", "none")
        words = [word async for word in model("one two three")]
    assert "".join(words).strip() == "one two three"
