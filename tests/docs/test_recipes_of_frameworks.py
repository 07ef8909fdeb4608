"""The recipes of other frameworks: docs/recipes/django.md and its neighbours."""

import sys
from typing import Any

import pytest

from sse_middleware.testing import EventClient
from tests.docs.pages import DOCS, blocks_of, missing_imports

pytestmark = pytest.mark.anyio

EVENTS = {"accept": "text/event-stream"}


@pytest.fixture
def anyio_backend() -> str:
    """Use threads, which virtual time doesn't have, and what only asyncio can do."""
    return "asyncio"


def needed(name: str) -> str:
    """Return the Python of a page whose packages are here, or skip the test."""
    code = blocks_of(DOCS / "recipes" / f"{name}.md", "python")[0].code
    if missing := missing_imports(code):
        pytest.skip(f"there is no {', '.join(missing)}")
    return code


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that runs the first block of a page, once in a process."""

    def run(name: str) -> Any:
        module = f"recipe_of_{name}"
        if module not in sys.modules:
            page = type(sys)(module)
            sys.modules[module] = page
            exec(compile(needed(name), f"{name}.md", "exec", dont_inherit=True), vars(page))
        return sys.modules[module].__dict__["app"]

    return run


def shown(name: str) -> str:
    [block] = blocks_of(DOCS / "recipes" / f"{name}.md", "text")
    return block.code


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("django", "/clock"),
        ("flask", "/rows"),
        ("litestar", "/clock"),
    ],
)
async def test_the_stream_is_as_it_is_shown(run: Any, name: str, path: str) -> None:
    needed(name)
    async with EventClient(run(name), timeout=60) as client:
        answer = await client.http.get(path, headers=EVENTS)
    assert answer.text == shown(name)
