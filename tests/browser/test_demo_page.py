"""The demo's page as a whole: on a phone and on a desk, in the light and in the dark."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .demo import DESKTOP, PHONE, Demo, Visit, visiting

pytestmark = pytest.mark.e2e

LOW_CONTRAST = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number)
  const luminance = (colour) => {
    const [r, g, b] = channels(colour).slice(0, 3).map((one) => {
      const part = one / 255
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const backgroundOf = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor
      if (channels(colour)[3] !== 0) return colour
    }
  }
  const found = []
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement
    if (!texts.currentNode.textContent.trim() || !element.checkVisibility()) continue
    const [a, b] = [getComputedStyle(element).color, backgroundOf(element)].map(luminance)
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    if (ratio < 4.5) found.push([ratio.toFixed(2), element.outerHTML.slice(0, 80)])
  }
  return found
}"""
"""Lists texts whose contrast is less than 4.5 to 1 (WCAG 2.2, 1.4.3, level AA)."""

UNNAMED = """() => [...document.querySelectorAll("button, input, summary, [role], [tabindex='0']")]
  .filter((one) => one.checkVisibility())
  .filter((one) => !(one.ariaLabel || one.getAttribute("aria-labelledby") || one.labels?.length
    || one.textContent.trim() || one.getAttribute("role") === "status"))
  .map((one) => one.outerHTML.slice(0, 80))"""
"""Lists what can be used, and has no name for a screen reader."""

WIDER = "() => document.documentElement.scrollWidth > document.documentElement.clientWidth"


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
    visit: Visit, scheme: str, screenshots: Path
) -> None:
    page = visit.page
    width = page.viewport_size["width"]
    use(visit)
    page.screenshot(path=screenshots / f"demo-{width}-{scheme}.png", full_page=True)
    assert not page.evaluate(WIDER)
    for summary in page.locator("summary").all():
        summary.click()
    assert not page.evaluate(WIDER)
    assert page.evaluate(LOW_CONTRAST) == []
    assert page.evaluate(UNNAMED) == []
    page.screenshot(path=screenshots / f"demo-{width}-{scheme}-code.png", full_page=True)


def test_the_check_of_contrast_finds_grey_on_grey(browser: Any) -> None:
    page = browser.new_page()
    page.set_content("<body style='background: #fff'><p style='color: #888'>grey</p>black")
    assert [ratio for ratio, _ in page.evaluate(LOW_CONTRAST)] == ["3.54"]
    page.close()


def test_nothing_moves_for_those_who_want_less_motion(browser: Any, demo: Demo) -> None:
    with visiting(browser, demo.url, reduced_motion="reduce") as visit:
        visit.press("silence", "Connect")
        visit.press("chat", "Ask")
        visit.wait_for_text("beats", "“: ping” once")
        assert visit.page.evaluate("() => document.getAnimations().length") == 0
        visit.wait("() => $('#plot .line').getAttribute('d') !== null")
        changes = """() => new Promise((done) => {
          let changes = 0
          new MutationObserver(() => changes++).observe($("#plot .line"), { attributes: true })
          setTimeout(() => done(changes), 2500)
        })""".replace("$(", "document.querySelector(")
        assert 1 <= visit.page.evaluate(changes) <= 3
        visit.press("chat", "Stop")
