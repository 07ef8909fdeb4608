"""The pages of documentation that FastAPI serves, with the version that has `itemSchema`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chromium import chromium
from tests.npm import install
from tests.openapi.generators.project import Project

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PACKAGES = (
    *("swagger@npm:swagger-ui-dist@5.35.0", "redoc@2.5.4"),
    *("swagger-first@npm:swagger-ui-dist@5.32.0", "redoc-first@npm:redoc@2.5.3"),
    *("swagger-old@npm:swagger-ui-dist@5.31.2", "redoc-old@npm:redoc@2.5.2"),
)
"""The newest ones, the first that show a document of 3.2, and the last that don't."""

FILES = {
    "swagger-ui-bundle.js": ("swagger", "swagger-ui-bundle.js"),
    "swagger-ui.css": ("swagger", "swagger-ui.css"),
    "redoc.standalone.js": ("redoc", "bundles/redoc.standalone.js"),
}


@pytest.fixture(scope="session")
def pages(pytestconfig: pytest.Config) -> Path:
    return install(pytestconfig, *PACKAGES)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


def opened(
    browser: Any, url: str, pages: Path, kind: str = "", document: Path | None = None
) -> Any:
    """Open a page whose scripts and styles come from the packages, and nothing from a network.

    It shows the document of the server, unless it is given another.
    """

    def answer(route: Any) -> None:
        name = route.request.url.rpartition("/")[2]
        if name in FILES:
            package, path = FILES[name]
            route.fulfill(path=pages / f"{package}{kind}" / path)
        elif name == "openapi.json" and document is not None:
            route.fulfill(path=document)
        elif route.request.url.startswith(url.rpartition("/")[0]):
            route.continue_()
        else:
            route.abort()

    page = browser.new_page()
    page.route("**/*", answer)
    page.goto(url)
    return page


@pytest.mark.parametrize("kind", ["", "-first"])
def test_swagger_ui_shows_the_operations(browser: Any, server: str, pages: Path, kind: str) -> None:
    page = opened(browser, f"{server}/docs", pages, kind)
    page.get_by_text("OAS 3.2").wait_for()
    page.get_by_text("/prices/{symbol}").click()
    page.get_by_text("Send three prices and a sale").wait_for()
    page.get_by_text("text/event-stream").first.wait_for(state="attached")
    page.close()


@pytest.mark.parametrize("kind", ["", "-first"])
def test_redoc_shows_the_operations(browser: Any, server: str, pages: Path, kind: str) -> None:
    page = opened(browser, f"{server}/redoc", pages, kind)
    page.get_by_text("Send three prices and a sale").wait_for()
    page.close()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("docs", "Unable to render this definition"),
        ("redoc", "Unsupported OpenAPI version: 3.2.0"),
    ],
)
def test_older_ones_refuse_it(
    browser: Any, server: str, pages: Path, path: str, message: str
) -> None:
    page = opened(browser, f"{server}/{path}", pages, "-old")
    page.get_by_text(message).first.wait_for()
    page.close()


def test_swagger_ui_shows_an_example_of_the_data(
    browser: Any, server: str, pages: Path, typed: Project
) -> None:
    page = opened(browser, f"{server}/docs", pages, document=typed.folder / "openapi.json")
    page.get_by_text("/prices/{symbol}").click()
    page.locator("#operations-default-prices_prices__symbol__get").get_by_text(
        re.compile('"price": 0')
    ).wait_for()
    page.close()


def test_redoc_shows_the_fields_of_the_data(
    browser: Any, server: str, pages: Path, typed: Project
) -> None:
    page = opened(browser, f"{server}/redoc", pages, document=typed.folder / "openapi.json")
    page.get_by_role("button", name="200").first.click()
    page.get_by_text("in euros").wait_for()
    page.close()
