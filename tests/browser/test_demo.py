"""Each panel of the demo, used as a person does."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.demo.chat import answer_to
from examples.demo.compression import COUNT
from examples.demo.shared import BURST
from tests.patience import PATIENCE

from .demo import Demo, Visit, visiting

pytestmark = pytest.mark.e2e

QUESTION = "Is the sky blue?"


@pytest.fixture
def visit(browser: Any, demo: Demo) -> Iterator[Visit]:
    with visiting(browser, demo.url) as visit:
        yield visit


# --- a typed stream -----------------------------------------------------------------------------


MOVED = "() => $('#plot .line').getAttribute('d')?.split('L').length > 20"


def test_prices_are_a_plot_that_moves_and_can_be_paused(
    visit: Visit, browser: Any, demo: Demo
) -> None:
    def plot() -> str:
        shape: str = visit.page.locator("#plot .line").get_attribute("d")
        return shape

    visit.wait(MOVED)
    visit.wait("() => $('#sales i') !== null")
    assert re.fullmatch(r"\d+ sold at \d+\.\d\d", visit.text("sale"))
    visit.press("prices", "Pause")
    assert visit.state("prices") == "paused"
    before, price = plot(), visit.text("price")
    with visiting(browser, demo.url) as other:
        other.wait(MOVED)  # meanwhile that many prices have come
    assert (plot(), visit.text("price")) == (before, price)
    visit.press("prices", "Go on")
    visit.wait_for_state("prices", "live")
    visit.wait("([before]) => $('#plot .line').getAttribute('d') !== before", before)


# --- a chat -------------------------------------------------------------------------------------

WHOLE = answer_to(QUESTION) + " "

LONG_QUESTION = f"Is the sky {'so ' * 150}blue?"
"""The answer repeats it, so that it takes far longer than a test that ends it."""


def ask(visit: Visit, question: str = QUESTION) -> None:
    visit.page.get_by_label("Your question").fill(question)
    visit.page.keyboard.press("Enter")


def wait_for_words(visit: Visit, words: str) -> None:
    visit.wait("([words]) => $('.answer')?.textContent.includes(words)", words)


def wait_for_end(visit: Visit, state: str) -> None:
    visit.wait("([state]) => $('.turn').dataset.state === state", state)


def test_an_answer_survives_a_cut_connection_and_a_reload(visit: Visit) -> None:
    ask(visit)
    wait_for_words(visit, "simulated")
    visit.press("chat", "Disconnect")
    visit.wait("() => $('.turn').dataset.connections === '2'")
    wait_for_words(visit, "slowly")
    visit.press("chat", "Reload")
    wait_for_words(visit, "You asked")
    wait_for_end(visit, "done")
    assert visit.page.locator(".answer").text_content() == WHOLE
    assert visit.page.locator(".question").text_content() == QUESTION


def test_a_stop_reaches_the_model(visit: Visit) -> None:
    ask(visit, LONG_QUESTION)
    wait_for_words(visit, "You asked")
    visit.press("chat", "Stop")
    wait_for_end(visit, "stopped")
    visit.wait_for_text("server-log", "the model has ended")
    written, whole = visit.page.locator(".answer").text_content(), answer_to(LONG_QUESTION)
    assert f"{whole} ".startswith(written)
    assert len(written) < len(whole)


def test_the_chat_by_the_keyboard_alone(visit: Visit) -> None:
    keyboard = visit.page.keyboard
    focused = "() => [document.activeElement.id || document.activeElement.textContent.trim()]"
    outlined = "() => getComputedStyle(document.activeElement).outlineStyle !== 'none'"

    def tab_to(name: str) -> None:
        for _ in range(40):
            keyboard.press("Tab")
            assert visit.page.evaluate(outlined), visit.page.evaluate(focused)
            if visit.page.evaluate(focused) == [name]:
                return
        raise AssertionError(f"no way to {name}")

    tab_to("Go to the panels")
    keyboard.press("Enter")
    tab_to("question")
    keyboard.press("Control+A")
    keyboard.type(QUESTION)
    keyboard.insert_text(LONG_QUESTION)
    keyboard.press("Enter")
    wait_for_words(visit, "You asked")
    tab_to("chat-cut")
    keyboard.press("Enter")
    visit.wait("() => $('.turn').dataset.connections === '2'")
    tab_to("chat-stop")
    keyboard.press("Space")
    wait_for_end(visit, "stopped")


# --- a room -------------------------------------------------------------------------------------


def test_two_tabs_are_in_one_room(visit: Visit) -> None:
    page = visit.page

    def say(tab: Any, text: str) -> None:
        tab.get_by_label("Your message").fill(text)
        tab.keyboard.press("Enter")

    page.get_by_label("Your name").fill("Ann")
    say(page, "<b>Is anybody here?</b>")
    visit.wait_for_text("room-log", "Is anybody here?")
    with page.context.expect_page() as opening:
        visit.press("room", "Open a second tab")
    second = Visit(opening.value)
    second.wait_for_text("room-log", "Ann <b>Is anybody here?</b>")
    second.page.get_by_label("Your name").fill("Ben")
    say(second.page, "Yes 🙂")
    for tab in (visit, second):
        tab.wait_for_text("room-log", "Ben Yes 🙂")
        assert tab.lines("room-log")[-2:] == ["Ann <b>Is anybody here?</b>", "Ben Yes 🙂"]


# --- legacy endpoints ---------------------------------------------------------------------------


def test_legacy_endpoints_become_streams_with_ids(visit: Visit, demo: Demo) -> None:
    visit.wait("() => $('#lines').children.length >= 3")
    assert visit.lines("lines")[:3] == [f'id {n} {{"n":{n},"square":{n * n}}}' for n in (1, 2, 3)]
    visit.wait("() => $('#status').children.length >= 2")
    first, second = (json.loads(line.split(" ", 2)[2]) for line in visit.lines("status")[:2])
    assert first["worker"] == second["worker"]
    assert first["seconds"] < second["seconds"]
    visit.press("legacy", "Stop")
    assert visit.state("legacy") == "not connected"
    answer = httpx.get(f"{demo.url}/legacy/status", timeout=PATIENCE)
    assert answer.headers["content-type"] == "application/json"


# --- silence ------------------------------------------------------------------------------------


def test_silence_is_kept_alive_and_the_server_sees_its_client_leave(visit: Visit) -> None:
    visit.press("silence", "Connect")
    visit.wait("() => /: ping” ([2-9]|\\d\\d) times/.test($('#beats').textContent)")
    visit.press("silence", "Leave")
    visit.wait_for_text("server-log", "finally has awaited half a second, and is done")
    texts = [line.split(maxsplit=1)[1] for line in visit.lines("server-log")]
    assert texts[-3:] == [
        "a client is here, and there is nothing to say",
        "the client has left: finally runs",
        "finally has awaited half a second, and is done",
    ]
    assert visit.state("silence") == "not connected"


# --- a restart ----------------------------------------------------------------------------------

LISTEN = """() => {
  window.numbers = []
  const source = new EventSource("/numbers")
  source.addEventListener("number", (event) => window.numbers.push(JSON.parse(event.data).number))
  source.addEventListener("hello", () => (window.hellos = (window.hellos ?? 0) + 1))
}"""
"""Reads the numbers without the page's own code."""


def test_a_restart_loses_no_event(visit: Visit) -> None:
    visit.page.evaluate(LISTEN)
    visit.wait("() => window.numbers.length >= 3")
    for restarts in (1, 2):
        worker = visit.text("worker")
        visit.press("restart", "Restart the server")
        visit.wait("([worker]) => $('#worker').textContent !== worker", worker)
        visit.wait("([hellos]) => window.hellos === hellos", restarts + 1)
        count = len(visit.page.evaluate("() => window.numbers"))
        visit.wait("([count]) => window.numbers.length > count + 3", count)
    told = " ".join(visit.lines("restart-log"))
    assert told.count("farewell: drained") == 2
    assert f"a new worker, {visit.text('worker')}" in told
    numbers = visit.page.evaluate("() => window.numbers")
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert int(visit.text("received")) > 6
    assert visit.page.locator("#strip .again").count() > 0  # published while there was no worker
    assert (visit.text("lost"), visit.text("twice")) == ("0", "0")


def test_an_answer_that_a_restart_cuts_off_says_so(visit: Visit) -> None:
    ask(visit, LONG_QUESTION)
    wait_for_words(visit, "You asked")
    visit.press("restart", "Restart the server")
    wait_for_end(visit, "drained")
    assert "Ask again" in visit.page.locator(".turn .state").text_content()


# --- compression --------------------------------------------------------------------------------


def test_the_browser_measures_fewer_bytes_with_compression(visit: Visit, demo: Demo) -> None:
    visit.press("compression", "Measure")
    visit.wait_for_text("compression-notice", "times fewer bytes")
    plain, compressed = (
        int(visit.text(kind).removesuffix(" bytes").replace(",", ""))
        for kind in ("plain", "compressed")
    )
    body = httpx.get(f"{demo.url}/readings/plain", timeout=PATIENCE).content
    assert body.count(b"\n\n") == COUNT
    assert plain == len(body)
    assert compressed < plain / 3


# --- a slow client ------------------------------------------------------------------------------


def test_a_slow_client_delays_nobody_and_gets_everything(visit: Visit) -> None:
    visit.press("slow", "Start")
    visit.wait_for_text("slow-notice", "This page had each event within")
    assert visit.text("fast").startswith(f"{BURST} read, ")
    read, sent = map(int, re.findall(r"\d+", visit.text("slow-count")))
    assert read <= sent < BURST
    visit.press("slow", "Let it hurry")
    visit.wait_for_text("slow-notice", "Both have all 500.")
    assert visit.text("slow-count") == f"{BURST} read"


# --- the inspector ------------------------------------------------------------------------------


def test_the_inspector_shows_the_streams_of_the_page(visit: Visit) -> None:
    with visit.page.context.expect_page() as opening:
        visit.page.get_by_role("link", name="Open the inspector").click()
    inspector = Visit(opening.value)
    for route in ("/prices", "/numbers", "/room/events", "/legacy/lines"):
        inspector.wait("([route]) => $('main').innerText.includes(route)", route)


# --- all of them --------------------------------------------------------------------------------


def test_a_tab_that_is_hidden_rests_and_then_goes_on(
    visit: Visit, browser: Any, demo: Demo
) -> None:
    """Chromium without a screen hides no tab, so the page is told that it is hidden."""
    hide = """(hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true })
      document.dispatchEvent(new Event("visibilitychange"))
    }"""
    visit.wait("() => Number($('#received').textContent) > 2")
    visit.page.evaluate(hide, arg=True)
    assert {visit.state(panel) for panel in ("prices", "room", "restart", "legacy")} == {"paused"}
    received = int(visit.text("received"))
    with visiting(browser, demo.url) as other:
        other.wait("() => Number($('#received').textContent) > 5")
    assert int(visit.text("received")) == received
    visit.page.evaluate(hide, arg=False)
    visit.wait("([received]) => Number($('#received').textContent) > received + 5", received)
    assert (visit.text("lost"), visit.text("twice")) == ("0", "0")


def test_each_panel_shows_the_python_that_runs(visit: Visit) -> None:
    folder = Path("examples/demo")
    names = {"prices", "chat", "room", "legacy", "silence", "restart", "compression", "slow"}
    for name in names:
        shown = visit.panel(name).locator("pre").text_content()
        module = (folder / f"{name}.py").read_text("utf-8")
        parts = re.split(r"\n\n(?=@|class |def |async def |[A-Z])", shown)
        assert parts
        assert all(part in module for part in parts)
