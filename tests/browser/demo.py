"""The demo as its users start it, and windows of a browser in which nothing may go wrong."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.servers import free_port, stop, wait_until_it_accepts

PATIENCE = 30_000
"""Milliseconds that a test waits for something on the page."""

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}


DOLLAR = "const $ = (selector) => document.querySelector(selector)"


@dataclass(frozen=True)
class Demo:
    """A demo that is served."""

    url: str
    process: "subprocess.Popen[bytes]"
    output: Path
    """The file that takes what it prints."""


@contextmanager
def serving_demo(output: Path, *options: str) -> Iterator[Demo]:
    """Serve the demo for as long as the block lasts. It ends by itself, in good order."""
    port = free_port()
    command = [sys.executable, "-m", "examples", "--no-open", "--port", str(port), *options]
    with (
        output.open("wb") as file,
        subprocess.Popen(
            command,
            stdout=file,
            stderr=file,
            env={**os.environ, "TMPDIR": str(output.parent)},  # of its hub, also if it is killed
            start_new_session=True,
        ) as process,
    ):
        try:
            wait_until_it_accepts(process, port, output)
            yield Demo(f"http://127.0.0.1:{port}", process, output)
        finally:
            stop(process)


class Visit:
    """A page of the demo in a window."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def panel(self, name: str) -> Any:
        return self.page.locator(f"#{name}.panel")

    def press(self, panel: str, button: str) -> None:
        self.panel(panel).get_by_role("button", name=button, exact=True).click()

    def state(self, panel: str) -> str:
        text: str = self.panel(panel).locator(".pill").inner_text()
        return text

    def wait_for_state(self, panel: str, state: str) -> None:
        self.wait("([id, state]) => $(`#${id} .pill`).textContent === state", panel, state)

    def text(self, id: str) -> str:
        text: str = self.page.locator(f"#{id}").inner_text()
        return text

    def lines(self, id: str) -> list[str]:
        lines: list[str] = self.page.locator(f"#{id} > *").all_inner_texts()
        return lines

    def wait_for_text(self, id: str, text: str) -> None:
        """Wait until an element has this in its text."""
        self.wait("([id, text]) => $(`#${id}`).textContent.includes(text)", id, text)

    def wait(self, condition: str, *arguments: object) -> None:
        """Wait until a function of the page is true of the arguments. It may use ``$``."""
        bound = f"(given) => {{ {DOLLAR}; return ({condition})(given) }}"
        self.page.wait_for_function(bound, arg=list(arguments), timeout=PATIENCE)


@contextmanager
def visiting(browser: Any, url: str, **options: Any) -> Iterator[Visit]:
    """Open the page in a window of its own.

    There may be no error of a script, no message of the browser, and no request to another host.
    """
    context = browser.new_context(**{"viewport": DESKTOP, **options})
    wrong: list[str] = []
    context.on("weberror", lambda error: wrong.append(f"error: {error.error}"))
    context.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
    context.on("request", lambda request: wrong.extend(_elsewhere(request.url)))
    page = context.new_page()
    try:
        page.goto(url)
        visit = Visit(page)
        visit.wait_for_state("prices", "live")
        visit.wait_for_state("silence", "not connected")  # the last panel is there
        yield visit
        assert not wrong
    finally:
        context.close()


def _elsewhere(url: str) -> list[str]:
    return [] if urlsplit(url).hostname in {"127.0.0.1", "localhost"} else [f"request: {url}"]
