"""A page of a browser in which the blocks of the documentation run, as at a reader."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.docs.serving import Served, served
from tests.npm import install

LONGEST = 100
"""Seconds to wait for anything, on a busy machine."""

UNKNOWN = "last_event_id=unknown"

JSDELIVR = re.compile(r"https://cdn\.jsdelivr\.net/npm/([\w.-]+@[\d.]+)/([^\"]+)")
"""Where a page of HTML loads a file of a package of npm from."""


class Reader:
    """An empty page of a browser in which a block runs."""

    def __init__(self, tab: Any) -> None:
        self.tab = tab
        self.failed: list[str] = []
        tab.set_default_timeout(LONGEST * 1000)
        tab.on("pageerror", lambda error: self.failed.append(str(error)))

    @contextmanager
    def at(self, app: Any, *names: str, html: str = "<!doctype html>") -> Iterator[Served]:
        """Open the page at an application, and leave it before the application stops.

        Args:
            app: the page's host.
            names: functions that the reader has.
            html: the page.
        """
        with served(app) as server:
            self._open(server, names, html)
            try:
                yield server
            finally:
                self.tab.goto("about:blank")

    def _open(self, server: Served, names: tuple[str, ...], html: str) -> None:
        self.tab.route("**/block", lambda route: route.fulfill(body=html, content_type="text/html"))
        self.tab.goto(f"{server.url}/block")
        self.tab.evaluate(
            """(names) => {
                globalThis.noted = [];
                const note = (...values) => { noted.push(values); };
                console.log = note;
                for (const name of names) globalThis[name] = (...values) => note(name, ...values);
            }""",
            list(names),
        )

    def run(self, code: str) -> None:
        """Run a block, which may await at its top level."""
        self.tab.add_script_tag(content=code, type="module")

    def noted(self, count: int) -> list[Any]:
        """Wait until functions were called this often, and return their names and arguments."""
        self.tab.wait_for_function("(count) => noted.length >= count", arg=count)
        calls: list[Any] = self.tab.evaluate("noted")
        return calls

    def is_subscribed(self, path: str) -> Any:
        """Wait until a stream has begun that is opened within this block."""
        return self.tab.expect_response(lambda response: path in response.url)

    def forget_position(self, path: str) -> None:
        """Have the next request of a path come with an id that is unknown."""

        def forget(route: Any) -> None:
            address, _, _ = route.request.url.partition("?")
            route.continue_(url=f"{address}?{UNKNOWN}")

        self.tab.route(re.compile(path), forget, times=1)

    def load_from_npm(self, html: str, config: pytest.Config) -> None:
        """Have what some HTML loads come from the packages, in the versions that it names."""
        for found in JSDELIVR.finditer(html):
            package, path = found.groups()
            file = install(config, package) / package.partition("@")[0] / path
            self.tab.route(found[0], partial(fulfil, file))


def fulfil(file: Path, route: Any) -> None:
    route.fulfill(path=file)
