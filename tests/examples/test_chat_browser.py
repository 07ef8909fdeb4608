"""The chat in a real browser: each of its buttons, while an answer is being written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from examples.chat import simulated_words

from .chatting import Chat, chatting

pytestmark = pytest.mark.e2e

QUESTION = "Why is the sky blue?"

WHOLE = " ".join(simulated_words(QUESTION)) + " "

SLOW, FAST = "0.5", "0.04"
"""Seconds for a word. With the slow ones an answer takes longer than a test looks at it."""


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chat]:
    """Serve a chat whose answers take some three seconds."""
    with chatting(tmp_path_factory.mktemp("fast"), PAUSE=FAST) as chat:
        yield chat


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chat]:
    """Serve a chat whose answers take most of a minute."""
    with chatting(tmp_path_factory.mktemp("slow"), PAUSE=SLOW) as chat:
        yield chat


class Tab:
    """A tab with the chat."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def ask(self, question: str = QUESTION) -> None:
        self.page.get_by_label("Your question").fill(question)
        self.page.keyboard.press("Enter")

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=button, exact=True).click()

    def wait_for_words(self, text: str) -> None:
        """Wait until the newest answer has a text."""
        there = """text => [...document.querySelectorAll(".answer")].at(-1)
            ?.textContent.includes(text)"""
        self.page.wait_for_function(there, arg=text, timeout=20_000)

    def wait_for_state(self, state: str) -> None:
        """Wait until the newest answer has ended like this."""
        self.page.wait_for_selector(f"article:last-child[data-state={state}]", timeout=20_000)

    def answers(self) -> list[str]:
        texts: list[str] = self.page.locator(".answer").all_text_contents()
        return texts

    def questions(self) -> list[str]:
        texts: list[str] = self.page.locator("h2").all_text_contents()
        return texts

    def connections(self) -> int:
        """Return how often the newest answer's stream was opened."""
        return int(self.page.locator("article").last.get_attribute("data-connections"))


@contextmanager
def opened(browser: Any, url: str, **options: Any) -> Iterator[Tab]:
    """Open a browser's window of its own at a chat. Nothing may go wrong in its scripts."""
    context = browser.new_context(**options)
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    page = context.new_page()
    page.goto(url)
    try:
        yield Tab(page)
        assert errors == []
    finally:
        context.close()


def test_an_answer_is_whole_although_the_connection_is_cut(browser: Any, fast: Chat) -> None:
    with opened(browser, fast.url) as tab:
        tab.ask()
        for word in ("asked:", "simulated model", "Meanwhile"):
            tab.wait_for_words(word)
            before = tab.connections()
            tab.press("Cut the connection")
            tab.page.wait_for_function(
                "before => document.querySelector('article').dataset.connections > before",
                arg=before,
            )
        tab.wait_for_state("done")
        assert tab.answers() == [WHOLE]
        assert tab.connections() >= 4


def test_an_answer_is_whole_after_a_reload(browser: Any, fast: Chat) -> None:
    with opened(browser, fast.url) as tab:
        tab.ask()
        tab.wait_for_words("simulated")
        tab.press("Reload")
        tab.wait_for_state("running")
        tab.wait_for_state("done")
        assert (tab.questions(), tab.answers()) == ([QUESTION], [WHOLE])
        tab.press("Reload")
        tab.wait_for_state("done")
        assert (tab.questions(), tab.answers()) == ([QUESTION], [WHOLE])


def test_a_second_tab_shows_the_same(browser: Any, fast: Chat) -> None:
    with opened(browser, fast.url) as first:
        first.ask()
        first.wait_for_words("simulated")
        with first.page.context.expect_page() as opening:
            first.press("Open a second tab")
        second = Tab(opening.value)
        second.wait_for_state("running")
        second.wait_for_state("done")
        first.wait_for_state("done")
        assert first.answers() == second.answers() == [WHOLE]
        second.ask("And at night?")
        for tab in (first, second):
            tab.wait_for_words("And at night?")
            tab.wait_for_state("done")
        assert first.answers() == second.answers()
        assert first.questions() == second.questions() == [QUESTION, "And at night?"]


def test_stop_stops_the_model_and_both_tabs(browser: Any, slow: Chat) -> None:
    with opened(browser, slow.url) as first, opened(browser, first.page.url) as second:
        first.ask()
        first.wait_for_words("You")
        second.wait_for_words("You")
        before = slow.endings()
        second.press("Stop")
        for tab in (first, second):
            tab.wait_for_state("stopped")
        assert slow.endings() == before + 1
        assert first.answers() == second.answers()
        assert WHOLE.startswith(first.answers()[0])
        assert first.answers()[0] != WHOLE
        first.press("Reload")
        first.wait_for_state("stopped")
        assert first.answers() == second.answers()


def test_a_restart_cuts_an_answer_off_and_says_so(browser: Any, tmp_path: Path) -> None:
    with chatting(tmp_path, PAUSE=SLOW) as chat, opened(browser, chat.url) as tab:
        tab.ask()
        tab.wait_for_words("asked:")
        tab.press("Restart the server")
        tab.wait_for_state("drained")
        assert chat.endings() == 1
        (cut_off,) = tab.answers()
        assert "asked:" in cut_off
        assert WHOLE.startswith(cut_off)
        tab.press("Reload")
        tab.wait_for_state("drained")
        assert (tab.questions(), tab.answers()) == ([QUESTION], [cut_off])
        tab.press("Ask again")
        tab.wait_for_state("running")
        assert tab.questions() == [QUESTION, QUESTION]


def test_all_is_there_when_the_server_was_off(browser: Any, tmp_path: Path) -> None:
    with chatting(tmp_path, PAUSE="0") as chat, opened(browser, chat.url) as tab:
        tab.ask()
        tab.wait_for_state("done")
        path = tab.page.evaluate("location.pathname")
    with chatting(tmp_path) as chat, opened(browser, chat.url + path) as tab:
        tab.wait_for_state("done")
        assert (tab.questions(), tab.answers()) == ([QUESTION], [WHOLE])


@pytest.mark.parametrize(
    "window",
    [
        {"viewport": {"width": 360, "height": 640}, "color_scheme": "light", "is_mobile": True},
        {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    ],
)
def test_nothing_jumps_on_a_phone_or_a_desk(browser: Any, fast: Chat, window: Any) -> None:
    """The buttons and the form stay where they are, and nothing is wider than the window."""
    places = """() => [...document.querySelectorAll("header button, #ask *")].map((one) => {
        const { x, y, width, height } = one.getBoundingClientRect();
        return [one.textContent, x, y, width, height];
    })"""
    with opened(browser, fast.url, **window) as tab:
        before = tab.page.evaluate(places)
        tab.ask()
        tab.wait_for_words("simulated")
        assert tab.page.evaluate(places) == before
        tab.wait_for_state("done")
        assert tab.page.evaluate(places) == before
        assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert tab.page.evaluate("document.documentElement.scrollHeight <= innerHeight")


def test_it_is_used_by_keyboard_and_read_aloud(browser: Any, slow: Chat) -> None:
    with opened(browser, slow.url) as tab:
        keyboard = tab.page.keyboard
        keyboard.type(QUESTION)  # the field has the focus
        keyboard.press("Enter")
        tab.wait_for_words("You")
        answer = tab.page.locator(".answer")
        assert answer.get_attribute("aria-live") == "polite"
        assert answer.get_attribute("aria-busy") == "true"
        tab.page.get_by_role("button", name="Restart the server").focus()
        keyboard.press("Shift+Tab")
        keyboard.press("Enter")  # on "Stop"
        tab.wait_for_state("stopped")
        assert answer.get_attribute("aria-busy") == "false"
        assert tab.page.evaluate("document.activeElement.id") == "stop"
        unnamed = """[...document.querySelectorAll("button, input, main")].filter(
            (one) => !one.textContent.trim() && !one.ariaLabel)"""
        assert tab.page.evaluate(f"{unnamed}.length") == 0
