"""A browser, a page of the server of a module, and the demo."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.chromium import chromium
from tests.e2e.servers import Server
from tests.sight import axe, screenshots

from .demo import Demo, serving_demo

__all__ = ["axe", "screenshots"]  # fixtures


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
