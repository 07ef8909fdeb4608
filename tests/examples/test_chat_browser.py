"""The chat in a real browser: each of its buttons, while an answer is being written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from examples.chat import simulated_words

from .chatting import Chat, Model, chatting, waiting_model

pytestmark = pytest.mark.e2e

QUESTION = "Why is the sky ... blue?"

WHOLE = f"{QUESTION} "
"""What the model answers that repeats the question, and waits before "..."."""

SIMULATED = " ".join(simulated_words(QUESTION)) + " "
"""What the chat's own model answers."""

SLOW = "0.5"
"""Seconds for a word. So an answer takes longer than a test looks at it."""


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with waiting_model() as model:
        yield model


@pytest.fixture(scope="module")
def chat(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chat]:
    """Serve a chat that asks the model which waits."""
    with chatting(tmp_path_factory.mktemp("chat"), **model.variables) as chat:
        yield chat


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chat]:
    """Serve a chat with its own model, whose answers take most of a minute."""
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
        self.page.wait_for_function(there, arg=text, timeout=30_000)

    def wait_for_state(self, state: str) -> None:
        """Wait until the newest answer has ended like this."""
        self.page.wait_for_selector(f"article:last-child[data-state={state}]", timeout=30_000)

    def answers(self) -> list[str]:
        texts: list[str] = self.page.locator(".answer").all_text_contents()
        return texts

    def questions(self) -> list[str]:
        texts: list[str] = self.page.locator("h2").all_text_contents()
        return texts

    def connections(self) -> int:
        """Return how often the newest answer's stream was opened."""
        return int(self.page.locator("article").last.get_attribute("data-connections"))

    def wait_for_more_connections(self, count: int) -> None:
        """Wait until the newest answer's stream was opened more often."""
        more = "(count) => document.querySelector('article:last-child').dataset.connections > count"
        self.page.wait_for_function(more, arg=count, timeout=30_000)


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


def test_an_answer_is_whole_although_the_connection_is_cut(
    browser: Any, chat: Chat, model: Model
) -> None:
    with opened(browser, chat.url) as tab:
        tab.ask()
        tab.wait_for_state("running")
        tab.wait_for_words("the sky ")
        for _ in range(3):
            before = tab.connections()
            tab.press("Cut the connection")
            tab.wait_for_more_connections(before)
        model.go_on()
        tab.wait_for_state("done")
        assert tab.answers() == [WHOLE]


def test_an_answer_is_whole_after_a_reload(browser: Any, chat: Chat, model: Model) -> None:
    with opened(browser, chat.url) as tab:
        tab.ask()
        tab.wait_for_words("the sky ")
        tab.press("Reload")
        tab.wait_for_words("the sky ")
        tab.wait_for_state("running")
        model.go_on()
        for _ in range(2):
            tab.wait_for_state("done")
            assert (tab.questions(), tab.answers()) == ([QUESTION], [WHOLE])
            tab.press("Reload")


def test_a_second_tab_shows_the_same(browser: Any, chat: Chat, model: Model) -> None:
    with opened(browser, chat.url) as first:
        first.ask()
        first.wait_for_words("the sky ")
        with first.page.context.expect_page() as opening:
            first.press("Open a second tab")
        second = Tab(opening.value)
        second.wait_for_words("the sky ")
        model.go_on()
        for tab in (first, second):
            tab.wait_for_state("done")
        assert first.answers() == second.answers() == [WHOLE]
        second.ask("And at night?")
        for tab in (first, second):
            tab.wait_for_words("And at night?")
            tab.wait_for_state("done")
        assert first.answers() == second.answers() == [WHOLE, "And at night? "]
        assert first.questions() == second.questions() == [QUESTION, "And at night?"]


def test_stop_stops_the_model_and_both_tabs(browser: Any, slow: Chat) -> None:
    with opened(browser, slow.url) as first, opened(browser, first.page.url) as second:
        first.ask()
        first.wait_for_words("You")
        second.wait_for_words("You")
        before = slow.endings()
        second.wait_for_state("running")
        second.press("Stop")
        for tab in (first, second):
            tab.wait_for_state("stopped")
        assert slow.endings() == before + 1
        assert first.answers() == second.answers()
        assert SIMULATED.startswith(first.answers()[0])
        assert first.answers()[0] != SIMULATED
        first.press("Reload")
        first.wait_for_state("stopped")
        assert first.answers() == second.answers()


def test_a_restart_cuts_an_answer_off_and_says_so(browser: Any, slow: Chat) -> None:
    with opened(browser, slow.url) as tab:
        tab.ask()
        tab.wait_for_words("asked:")
        before = slow.endings()
        tab.press("Restart the server")
        tab.wait_for_state("drained")
        assert slow.endings() == before + 1
        (cut_off,) = tab.answers()
        assert "asked:" in cut_off
        assert SIMULATED.startswith(cut_off)
        tab.press("Reload")
        tab.wait_for_state("drained")
        assert (tab.questions(), tab.answers()) == ([QUESTION], [cut_off])
        tab.press("Ask again")
        tab.wait_for_state("running")
        assert tab.questions() == [QUESTION, QUESTION]


def test_an_answer_whose_worker_is_killed_is_cut_off(browser: Any, slow: Chat) -> None:
    """The page knows when the lease of ten seconds is over."""
    with opened(browser, slow.url) as tab:
        tab.ask()
        tab.wait_for_words("asked:")
        slow.kill_workers()
        tab.wait_for_state("aborted")
        (cut_off,) = tab.answers()
        assert "asked:" in cut_off
        assert SIMULATED.startswith(cut_off)


def test_all_is_there_when_the_server_was_off(browser: Any, tmp_path: Path) -> None:
    with chatting(tmp_path, PAUSE="0") as chat, opened(browser, chat.url) as tab:
        tab.ask()
        tab.wait_for_state("done")
        path = tab.page.evaluate("location.pathname")
    with chatting(tmp_path) as chat, opened(browser, chat.url + path) as tab:
        tab.wait_for_state("done")
        assert (tab.questions(), tab.answers()) == ([QUESTION], [SIMULATED])


@pytest.mark.parametrize(
    "window",
    [
        {"viewport": {"width": 360, "height": 640}, "color_scheme": "light", "is_mobile": True},
        {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    ],
)
def test_nothing_jumps_on_a_phone_or_a_desk(
    browser: Any, chat: Chat, model: Model, window: Any
) -> None:
    """The buttons and the form stay where they are, and nothing is wider than the window."""
    places = """() => [...document.querySelectorAll("header button, #ask *")].map((one) => {
        const { x, y, width, height } = one.getBoundingClientRect();
        return [one.textContent, x, y, width, height];
    })"""
    with opened(browser, chat.url, **window) as tab:
        before = tab.page.evaluate(places)
        tab.ask("word " * 300 + "... end")
        tab.wait_for_words("word")
        assert tab.page.evaluate(places) == before
        model.go_on()
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
        tab.wait_for_state("running")
        tab.page.get_by_role("button", name="Restart the server").focus()
        keyboard.press("Shift+Tab")
        keyboard.press("Enter")  # on "Stop"
        tab.wait_for_state("stopped")
        assert answer.get_attribute("aria-busy") == "false"
        assert tab.page.evaluate("document.activeElement.id") == "stop"
        unnamed = """[...document.querySelectorAll("button, input, main")].filter(
            (one) => !one.textContent.trim() && !one.ariaLabel)"""
        assert tab.page.evaluate(f"{unnamed}.length") == 0
