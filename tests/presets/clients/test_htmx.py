"""htmx shows the fragments in a real browser, and doesn't come back for a stream that has ended."""

from pathlib import Path

import pytest

from tests.presets.clients.conftest import Visit

pytestmark = pytest.mark.e2e

NEWS = ["<1>", "<2>", "<3>"]


def test_htmx_2(example: str, npm_packages: Path, visit: Visit) -> None:
    scripts = {
        "**/htmx.min.js": npm_packages / "htmx2/dist/htmx.min.js",
        "**/sse.js": npm_packages / "htmx-ext-sse/sse.js",
    }
    page = visit(example, scripts, "htmx:sseClose")
    page.wait_for_selector("#told")
    assert page.locator("#news li").all_inner_texts() == NEWS
    assert page.locator("#status b").inner_text() == "That was all."


def test_htmx_4(example: str, npm_packages: Path, visit: Visit) -> None:
    scripts = {
        "**/htmx.min.js": npm_packages / "htmx4/dist/htmx.min.js",
        "**/hx-sse.min.js": npm_packages / "htmx4/dist/ext/hx-sse.min.js",
    }
    page = visit(f"{example}/four", scripts, "htmx:sse:close")
    page.wait_for_selector("#told")
    assert page.locator("#news li").all_inner_texts() == NEWS
