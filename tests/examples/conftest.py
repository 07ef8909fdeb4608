"""A browser, and a page of the server of a module."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.chromium import chromium
from tests.e2e.servers import Server


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
