"""The site in Chromium: as files and from a server, on a desktop and on a phone, light and dark."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.chromium import chromium
from tests.sight import VIOLATIONS
from tests.site import checks

pytestmark = pytest.mark.e2e

PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1440, "height": 900}

SEEN = (
    "index",
    "recipes/llm-chat",
    "reference/settings",
    "reference/streams",
    "performance",
    "404",
)
"""Pages that are looked at: one of each kind."""

LONGEST = 2500
"""Pixels of a page that a screenshot has at most."""

WITHIN_WCAG = """axe.configure({ disableOtherRules: true, rules: [
  "aria-allowed-attr", "button-name", "color-contrast", "heading-order", "image-alt", "link-name",
].map((id) => ({ id, enabled: true })) })"""
"""Leaves out the rules that the theme breaks, such as different names for landmarks."""


class Quiet(SimpleHTTPRequestHandler):
    """A server of files that logs nothing."""

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    handler = partial(Quiet, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(params=["files", "server"])
def address(request: pytest.FixtureRequest, site: Path) -> Iterator[str]:
    if request.param == "files":
        yield site.as_uri()
    else:
        with served(site) as url:
            yield url


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """Open a page whose requests and errors are kept."""
    page = browser.new_page()
    page.requested = []
    page.failed = []
    page.on("request", lambda request: page.requested.append(request.url))
    page.on("pageerror", lambda error: page.failed.append(str(error)))
    page.on("response", lambda response: note_failure(page, response))
    yield page
    page.close()


def note_failure(page: Any, response: Any) -> None:
    if response.status >= 400:
        page.failed.append(response.url)


def outside(page: Any, address: str) -> list[str]:
    return [url for url in page.requested if not url.startswith((address, "data:", "blob:"))]


@pytest.mark.timeout(180)
def test_each_page_asks_no_other_host_and_fits_a_phone(page: Any, site: Path) -> None:
    page.set_viewport_size(PHONE)
    wide = []
    with served(site) as url:
        for path in checks.pages(site):
            page.goto(f"{url}/{path.relative_to(site).as_posix()}")
            if page.evaluate("document.documentElement.scrollWidth") > PHONE["width"]:
                wide.append(path.name)
        page.wait_for_load_state("networkidle")
        assert len(page.requested) > len(checks.pages(site))
        assert outside(page, url) == []
    assert page.failed == []
    assert wide == []


def test_search_finds_a_setting(page: Any, address: str) -> None:
    page.goto(f"{address}/index.html", wait_until="networkidle")
    page.keyboard.press("/")
    page.keyboard.type("max_duration")
    page.locator("[role=option][href*='settings.html']").first.click()
    page.wait_for_url("**/settings.html**max_duration")
    assert outside(page, address) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_system_to_light_or_dark(browser: Any, site: Path, scheme: str) -> None:
    page = browser.new_page(color_scheme=scheme)
    page.goto(f"{site.as_uri()}/index.html")
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.close()
    brightness = sum(map(int, colour[4:-1].split(",")[:3]))
    assert (brightness > 600) if scheme == "light" else (brightness < 200)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_pages_are_readable(
    browser: Any, site: Path, screenshots: Path, axe: str, scheme: str, size: dict[str, int]
) -> None:
    page = browser.new_page(viewport=size, color_scheme=scheme)
    wrong = []
    with served(site) as url:
        for name in SEEN:
            page.goto(f"{url}/{name}.html")
            page.evaluate(f"{axe}\n{WITHIN_WCAG}")
            wrong += page.evaluate(VIOLATIONS)
            path = screenshots / f"site-{size['width']}-{scheme}-{name.replace('/', '-')}.png"
            height = min(LONGEST, page.evaluate("document.documentElement.scrollHeight"))
            clip = {"x": 0, "y": 0, "width": size["width"], "height": height}
            page.screenshot(path=path, full_page=True, clip=clip)
    page.close()
    assert wrong == []
