"""The servers, each in a process of its own, and the packages of npm."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.chromium import chromium
from tests.e2e.servers import free_port
from tests.examples.test_app import wait_for
from tests.npm import install

NPM = (
    *("ai@6.0.326", "htmx2@npm:htmx.org@2.0.11", "htmx-ext-sse@2.2.4", "htmx4@npm:htmx.org@4.0.1"),
    "@microsoft/fetch-event-source@2.0.1",
)


@dataclass
class Served:
    """A server, at its URL."""

    url: str
    process: "subprocess.Popen[str]"


@contextmanager
def served(module: str, **environment: str) -> Iterator[Served]:
    """Serve what a module serves as its program."""
    port = free_port()
    command = [sys.executable, "-m", module, "--port", str(port)]
    variables = {**os.environ, **environment}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables) as process:
        try:
            yield Served(wait_for(port, process), process)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def example(request: pytest.FixtureRequest) -> Iterator[str]:
    """Serve the example that the test module is named after, and return its URL."""
    name = request.module.__name__.rpartition("test_")[2]
    with served(f"examples.presets.{name}") as server:
        yield server.url


@pytest.fixture
def troubled() -> Iterator[Served]:
    """Serve streams that fail or hang."""
    with served("tests.presets.clients.app") as server:
        yield server


def client_library(name: str) -> ModuleType:
    """Import the library that brings a client. Without ``ALL_CLIENTS`` it may be missing."""
    if "ALL_CLIENTS" not in os.environ:
        pytest.importorskip(name)
    return import_module(name)


@pytest.fixture(scope="session")
def npm_packages(pytestconfig: pytest.Config) -> Path:
    return install(pytestconfig, *NPM)


@pytest.fixture(scope="module")  # its event loop is in the way of asynchronous tests
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


def fulfil(path: Path, route: Any) -> None:
    route.fulfill(path=path)


Visit = Callable[..., Any]


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    """Return a function that opens a page whose scripts are files and not from the network.

    Given the name of an event, the page then has an element ``#told`` once that has happened.
    """
    page = browser.new_page()

    def visit(url: str, scripts: dict[str, Path], event: str = "") -> Any:
        page.add_init_script(f"addEventListener('{event}', () => document.body.id = 'told')")
        for pattern, path in scripts.items():
            page.route(pattern, partial(fulfil, path))
        page.goto(url)
        return page

    yield visit
    page.close()
