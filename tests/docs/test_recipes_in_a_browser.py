"""The recipes that are whole applications, started as their pages say, in Chromium."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.chromium import chromium
from tests.docs.pages import DOCS, ROOT, blocks_of
from tests.e2e.servers import free_port
from tests.examples.test_app import wait_for

pytestmark = pytest.mark.e2e


@contextmanager
def started(name: str, folder: Path) -> Iterator[str]:
    """Write the files of a page into a folder, and serve its application there."""
    files: dict[str, str] = {}
    for block in blocks_of(DOCS / f"{name}.md", "python", "html"):
        files[block.title] = files.get(block.title, "") + block.code
    for title in ("main.py", "index.html"):
        if title in files:
            (folder / title).write_text(files[title], "utf-8")
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "main:app", "--port", str(port)]
    path = {"PYTHONPATH": f"{folder}:{ROOT}"}
    with subprocess.Popen(command, cwd=folder, env=path, stderr=subprocess.PIPE, text=True) as one:
        try:
            yield wait_for(port, one)
        finally:
            one.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    page = browser.new_page()
    page.failed = []
    page.on("pageerror", lambda error: page.failed.append(str(error)))
    yield page
    page.close()
    assert page.failed == []


def test_the_tutorial_counts(page: Any, tmp_path: Path) -> None:
    with started("tutorial", tmp_path) as url:
        page.goto(url)
        page.get_by_text("3", exact=True).wait_for()


def test_a_chat_survives_a_reload_and_is_stopped(page: Any, tmp_path: Path) -> None:
    with started("recipes/llm-chat", tmp_path) as url:
        page.goto(url)
        page.locator("[name=text]").fill("one two three four")
        page.get_by_role("button", name="Ask").click()
        page.get_by_text("You asked: one").wait_for()
        page.reload()
        page.get_by_text("You asked: one two three four").wait_for()
        page.get_by_role("button", name="Stop").wait_for(state="hidden")
        page.locator("[name=text]").fill("word " * 300)
        page.get_by_role("button", name="Ask").click()
        page.get_by_text("You asked: word").wait_for()
        page.get_by_role("button", name="Stop").click()
        page.get_by_role("button", name="Stop").wait_for(state="hidden")
        assert page.locator("#answer").inner_text().count("word") < 300


def test_a_room_has_two_windows(browser: Any, page: Any, tmp_path: Path) -> None:
    with started("recipes/rooms", tmp_path) as url:
        other = browser.new_page()
        for window in (page, other):
            window.goto(url)
        page.locator("[name=person]").fill("ann")
        page.locator("[name=text]").fill("<b>hello</b>")
        page.get_by_role("button", name="Say").click()
        for window in (page, other):
            window.get_by_text("ann: <b>hello</b>").wait_for()
        other.reload()
        other.get_by_text("ann: <b>hello</b>").wait_for()
        other.close()


def test_a_job_goes_on_while_its_page_reloads(page: Any, tmp_path: Path) -> None:
    with started("recipes/jobs", tmp_path) as url:
        page.goto(url)
        page.get_by_role("button", name="Export").click()
        page.wait_for_function("document.querySelector('progress').value >= 20")
        page.reload()
        page.get_by_text("report.csv").wait_for()
        assert page.evaluate("document.querySelector('progress').value") == 100
        page.get_by_role("button", name="Export").click()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("cancelled").wait_for()
