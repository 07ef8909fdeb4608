"""The browser of the tests: the system's Chromium."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from tests.must_run import missing

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


@contextmanager
def chromium() -> Iterator[Any]:
    """Run it as long as the block lasts. Without it, skip the test."""
    if CHROMIUM is None:
        missing("Chromium")
    if find_spec("playwright") is None:
        missing("playwright")
    sync_api = import_module("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
