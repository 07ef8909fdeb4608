"""The site as it is built: complete, whole, and without a request to another host."""

import importlib
import re
from inspect import iscoroutinefunction
from pathlib import Path
from types import ModuleType
from typing import get_type_hints

import pytest

from sse_middleware import Hub, StreamOptions
from tests.site import checks
from tests.site.conftest import ROOT

pytestmark = pytest.mark.e2e

PACKAGES = ("presets", "observers", "legacy", "testing", "compat.sse_starlette")
"""Packages whose names are public, besides those of the root."""

MODULES = ("errors", "records")
"""Modules whose classes are public."""


def public() -> dict[str, set[str]]:
    """Return everything that the reference must have, each with the names that it may have there.

    A name that several modules have is described once.
    """
    found = {}
    for package in ("", *PACKAGES):
        module = importlib.import_module(f"sse_middleware.{package}".rstrip("."))
        for name in module.__all__:
            value = getattr(module, name)
            if not isinstance(value, ModuleType):
                found[f"{module.__name__}.{name}"] = names_of(f"{module.__name__}.{name}", value)
    for one in MODULES:
        module = importlib.import_module(f"sse_middleware.{one}")
        for name, value in vars(module).items():
            if isinstance(value, type) and value.__module__ == module.__name__:
                found[f"{module.__name__}.{name}"] = {f"{module.__name__}.{name}"}
    return found


def names_of(name: str, value: object) -> set[str]:
    """Return the names by which something can be imported, and the one by which it is defined."""
    defined = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
    return {name, defined, f"sse_middleware.{name.rpartition('.')[2]}"}


def test_all_that_is_linked_exists(site: Path) -> None:
    assert checks.broken(site) == []


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    assert list(checks.loads(site))
    assert checks.loaded_from_outside(site) == []
    assert checks.drawn_by_script(site) == []


def test_no_docstring_is_left_in_restructuredtext(site: Path) -> None:
    shown = {path.name: path.read_text("utf-8") for path in checks.pages(site / "reference")}
    assert len(shown) > 10
    assert [name for name, text in shown.items() if "::</p>" in text or ">:class:" in text] == []


def test_the_navigation_has_all_pages(site: Path) -> None:
    assert checks.unlisted(ROOT / "docs" / "zensical.toml", site) == []


def test_each_public_name_is_in_the_reference(site: Path) -> None:
    anchors = {anchor for path in checks.pages(site) for anchor in checks.page_at(path).ids}
    assert [name for name, names in public().items() if not names & anchors] == []


def test_the_reference_says_what_is_awaited(site: Path) -> None:
    text = (site / "reference" / "hub.html").read_text("utf-8")
    pattern = r'<h3 id="sse_middleware\.Hub\.(\w+)"(.*?)</h3>'
    headings = dict(re.findall(pattern, text, re.DOTALL))
    awaited = {name for name in headings if iscoroutinefunction(getattr(Hub, name))}
    assert "publish" in awaited
    assert awaited == {name for name, text in headings.items() if "doc-label-async" in text}


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("SSEMiddleware", "streams"),
        ("EventSourceResponse", "streams"),
        ("event_stream", "streams"),
        ("LegacyRoute", "legacy"),
        ("Hub.resumable", "hub"),
    ],
)
def test_each_setting_is_described_where_it_is_taken(site: Path, name: str, page: str) -> None:
    text = (site / "reference" / f"{page}.html").read_text("utf-8")
    _, _, after = text.partition(f'id="sse_middleware.{name}" class="doc doc-heading"')
    own, _, _ = after.partition('class="doc doc-heading"')
    settings = re.findall(r"<b><code>(\w+)</code></b>.*?<p>(.*?)</p>", own, re.DOTALL)
    described = {setting for setting, text in settings if len(text) > len("short")}
    assert set(get_type_hints(StreamOptions)) <= described
    assert "settings" not in described
