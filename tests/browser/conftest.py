"""A browser, a page of the server of a module, the demo, and where screenshots are kept."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chromium import chromium
from tests.e2e.servers import Server

from .demo import Demo, serving_demo


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{server.port}/page")
    yield page
    page.close()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with serving_demo(tmp_path_factory.mktemp("demo") / "output") as demo:
        yield demo


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    """Return the folder of the screenshots: SCREENSHOTS, or pytest's own for this test."""
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
