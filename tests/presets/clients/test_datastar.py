"""Datastar patches a page in a real browser; its own Python SDK writes the same events."""

from importlib.metadata import files
from pathlib import Path
from typing import Any

import pytest

from sse_middleware import ServerSentEvent
from sse_middleware.presets.datastar import patch_elements, patch_signals
from sse_middleware.wire import EventStreamDecoder
from sse_middleware.wire.decoding import MessageEvent
from tests.docs.pages import DOCS, blocks_of, run_page
from tests.docs.serving import served
from tests.presets.clients.conftest import Visit, client_library

pytestmark = pytest.mark.e2e


@pytest.fixture
def sdk() -> Any:
    return client_library("datastar_py").ServerSentEventGenerator


@pytest.fixture
def script() -> Path:
    """Return Datastar itself: no registry has its first version but in a framework's package."""
    client_library("starhtml")
    found = [file for file in files("starhtml") or [] if file.name == "datastar-core.js"]
    return Path(str(found[0].locate()))


def test_a_page_is_patched(example: str, script: Path, visit: Visit) -> None:
    page = visit(example, {"**/datastar.js": script})
    page.wait_for_function("document.getElementById('status').textContent === 'Lift-off'")
    assert page.locator("#log li").all_inner_texts() == ["3", "2", "1"]
    assert page.locator("#left").inner_text() == "1"  # a signal
    assert page.locator("#hint").count() == 0


def test_the_page_of_the_recipe_is_patched(
    script: Path, visit: Visit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = DOCS / "recipes" / "datastar.md"
    [html] = blocks_of(recipe, "html")
    (tmp_path / html.title).write_text(html.code, "utf-8")
    monkeypatch.chdir(tmp_path)
    with served(run_page(recipe, monkeypatch)["app"]) as server:
        page = visit(server.url, {"**/datastar.js": script})
        page.get_by_text("Lift-off").wait_for()
        assert page.locator("#log li").all_inner_texts() == ["2", "1"]
        assert page.locator("[data-text]").inner_text() == "1"  # the signal


HTML = '<p id="a">\n  1\n</p>'


@pytest.mark.parametrize(
    ("ours", "name", "arguments"),
    [
        (patch_elements(HTML), "patch_elements", {"elements": HTML}),
        (
            patch_elements(HTML, selector="#b", mode="inner", use_view_transition=True),
            "patch_elements",
            {
                "elements": HTML,
                "selector": "#b",
                "mode": "inner",
                "use_view_transition": True,
            },
        ),
        (
            patch_elements("<circle/>", selector="#c", mode="append", namespace="svg"),
            "patch_elements",
            {"elements": "<circle/>", "selector": "#c", "mode": "append", "namespace": "svg"},
        ),
        (patch_elements(selector="#a", mode="remove"), "remove_elements", {"selector": "#a"}),
        (patch_elements(HTML, id="7"), "patch_elements", {"elements": HTML, "event_id": "7"}),
        (patch_signals({"a": {"b": None}}), "patch_signals", {"signals": {"a": {"b": None}}}),
        (
            patch_signals({"a": 1}, only_if_missing=True),
            "patch_signals",
            {"signals": {"a": 1}, "only_if_missing": True},
        ),
    ],
)
def test_its_own_sdk_makes_the_same_events(
    sdk: Any, ours: ServerSentEvent, name: str, arguments: dict[str, Any]
) -> None:
    (theirs,) = EventStreamDecoder().feed(getattr(sdk, name)(**arguments).encode())
    assert isinstance(theirs, MessageEvent)
    assert theirs.type == ours.event
    assert set(theirs.data.split("\n")) == set((ours.raw_data or "").split("\n"))
    assert theirs.last_event_id == (ours.id or "")
