"""The events and the TypeScript that docs/typed-events.md shows."""

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sse_middleware.cli.targets import streams_of_application
from sse_middleware.cli.typescript import typescript_of
from sse_middleware.testing import EventClient
from sse_middleware.wire import EventStreamDecoder

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs" / "typed-events.md").read_text("utf-8")
SENT = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the application that the page's Python makes, in a module of its own."""
    page = ModuleType("typed_events_page")
    monkeypatch.setitem(sys.modules, page.__name__, page)
    exec("\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)), page.__dict__)
    return page.__dict__["app"]


@pytest.mark.parametrize(("path", "shown"), [*zip(("/prices/ACME", "/job"), SENT, strict=True)])
async def test_the_events_are_sent(app: Any, path: str, shown: str) -> None:
    async with EventClient(app) as client:
        response = await client.http.get(path)
    assert response.content == shown.encode()
    assert len(EventStreamDecoder().feed(response.content)) == 2


def test_the_typescript_is_written(app: Any) -> None:
    text = typescript_of(streams_of_application(app))
    [shown] = re.findall(r"```typescript\n(export interface.*?)```", PAGE, re.DOTALL)
    assert shown in text
