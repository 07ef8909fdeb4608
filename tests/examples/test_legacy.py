"""The legacy example, read by the ``EventSource`` of a real browser."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.chromium import chromium
from tests.examples.test_app import serving

pytest.importorskip("flask")

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def example() -> Iterator[str]:
    yield from serving("examples.legacy")


@pytest.fixture(scope="module")
def page(example: str) -> Iterator[Any]:
    with chromium() as browser:
        page = browser.new_page()
        page.goto(example)
        yield page


def lines_of(page: Any, element: str, count: int) -> list[str]:
    """Wait until an element has this many lines."""
    enough = f"document.getElementById('{element}').textContent.split('\\n').length > {count}"
    page.wait_for_function(enough, timeout=20_000)
    text: str = page.text_content(f"#{element}")
    return text.splitlines()[:count]


def test_lines_of_json_are_events_with_their_ids(page: Any) -> None:
    assert lines_of(page, "log", 3) == ["1 app", "2 app", "3 app"]


def test_a_polled_document_is_sent_when_it_changes(page: Any) -> None:
    first, second = lines_of(page, "status", 2)
    assert first.startswith('{"jobs_done":')
    assert first != second


def test_a_flask_application_streams_to_its_end(page: Any) -> None:
    assert lines_of(page, "countdown", 6) == ["5", "4", "3", "2", "1", "lift-off"]
