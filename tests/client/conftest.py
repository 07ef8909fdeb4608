"""One server of faults, one process of Node and one page, for all tests of this package."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sse_middleware.cli.typescript import javascript_of
from tests.chromium import chromium
from tests.client.fault_server import FaultServer, fault_server
from tests.client.places import Node, Page, Place, node_process, page_of


@pytest.fixture(scope="package")
def server() -> Iterator[FaultServer]:
    with fault_server() as server:
        yield server


@pytest.fixture(scope="package")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the written client, as a module of JavaScript."""
    path = tmp_path_factory.mktemp("client") / "client.mjs"
    path.write_text(javascript_of({}), "utf-8")
    return path


@pytest.fixture(scope="package")
def in_node(server: FaultServer, client: Path) -> Iterator[Node]:
    with node_process(server, client) as place:
        yield place
        assert place.warnings == []
        assert place.close() == 0


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="package")
def in_page(server: FaultServer, client: Path, browser: Any) -> Iterator[Page]:
    with page_of(server, browser, client) as place:
        yield place
        assert place.unhandled() is None


@pytest.fixture(params=["in_node", "in_page"], ids=["node", "chromium"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found
