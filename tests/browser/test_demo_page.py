"""The demo's page as a whole: on a phone and on a desk, in the light and in the dark."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.sight import VIOLATIONS, WIDER

from .demo import DESKTOP, PHONE, Demo, Visit, visiting

pytestmark = pytest.mark.e2e

JUMPING = """() => [...document.querySelectorAll(".head")].filter((head) => {
  const heights = ["live", "not connected", "coming back"].map((state) => {
    head.querySelector(".pill").textContent = state
    return head.offsetHeight
  })
  return new Set(heights).size > 1
}).map((head) => head.textContent)"""
"""Lists panels that become higher or lower with the state of their connection."""

CODE_TO_SCROLL = """() => [...document.querySelectorAll("pre")].filter(
  (code) => code.scrollWidth > code.clientWidth
).length"""


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    scheme: str = request.param
    return scheme


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def visit(browser: Any, demo: Demo, scheme: str, request: pytest.FixtureRequest) -> Iterator[Visit]:
    options = {"viewport": request.param, "color_scheme": scheme}
    with visiting(browser, demo.url, **options) as visit:
        yield visit


def use(visit: Visit) -> None:
    """Bring something into each panel."""
    visit.page.get_by_label("Your message").fill("Hello!")
    visit.page.keyboard.press("Enter")
    visit.press("chat", "Ask")
    visit.press("silence", "Connect")
    visit.press("compression", "Measure")
    visit.press("slow", "Start")
    visit.wait("() => $('.turn').dataset.state === 'done'")
    visit.wait_for_text("compression-notice", "times fewer bytes")
    visit.wait_for_text("slow-notice", "This page had each event within")


def test_it_is_readable_at_each_size_and_in_each_scheme(
    visit: Visit, scheme: str, screenshots: Path, axe: str
) -> None:
    page = visit.page
    width = page.viewport_size["width"]
    use(visit)
    page.screenshot(path=screenshots / f"demo-{width}-{scheme}.png", full_page=True)
    assert not page.evaluate(WIDER)
    for summary in page.locator("summary").all():
        summary.click()
    assert not page.evaluate(WIDER)
    assert page.evaluate(CODE_TO_SCROLL) == 0
    page.evaluate(axe)
    assert page.evaluate(VIOLATIONS) == []
    page.screenshot(path=screenshots / f"demo-{width}-{scheme}-code.png", full_page=True)
    assert page.evaluate(JUMPING) == []


def test_it_works_by_the_name_of_the_machine(browser: Any, demo: Demo) -> None:
    """The streams of the other ports are then of that name, too."""
    with visiting(browser, demo.url.replace("127.0.0.1", "localhost")) as visit:
        for panel in ("room", "restart", "legacy"):
            visit.wait_for_state(panel, "live")


def test_it_works_where_only_one_port_can_be_reached(browser: Any, demo: Demo) -> None:
    """As in a container, or through a tunnel. Two panels rest, so that the others can be used."""
    page = browser.new_page()
    page.route(lambda url: not url.startswith(demo.url), lambda route: route.abort())
    page.goto(demo.url)
    visit = Visit(page)
    visit.wait_for_state("silence", "not connected")
    for panel in ("room", "restart"):
        visit.wait_for_state(panel, "live")
    for panel in ("prices", "legacy"):
        visit.wait_for_state(panel, "paused")
    visit.press("chat", "Ask")
    visit.press("silence", "Connect")
    visit.wait("() => $('.turn').dataset.state === 'done'")
    visit.press("slow", "Start")
    visit.wait_for_text("slow-notice", "This page had each event within")
    page.close()


def test_nothing_moves_for_those_who_want_less_motion(browser: Any, demo: Demo) -> None:
    with visiting(browser, demo.url, reduced_motion="reduce") as visit:
        visit.press("silence", "Connect")
        visit.press("chat", "Ask")
        visit.wait_for_text("beats", "“: ping”")
        assert visit.page.evaluate("() => document.getAnimations().length") == 0
        visit.wait("() => $('#plot .line').getAttribute('d') !== null")
        drawn = """() => new Promise((done) => {
          const times = []
          new MutationObserver(() => {
            if (times.push(performance.now()) === 3) done(times)
          }).observe(document.querySelector("#plot .line"), { attributes: true })
        })"""
        times = visit.page.evaluate(drawn)
        assert all(later - earlier > 900 for earlier, later in pairwise(times))  # milliseconds
        visit.press("chat", "Stop")
