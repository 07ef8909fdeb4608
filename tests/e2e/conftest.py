"""One process per server and session, whose output is shown with each failure."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from .client import Client
from .servers import KINDS, Kind, Server, running

OUTPUT_SHOWN = 8000
"""The last characters of a server's output, shown with a test that failed."""

MISHAPS = ["ExceptionGroup", "never retrieved", "never awaited", "cleanup_timeout"]
"""What no server may have printed when it has stopped, whatever its clients did."""

_numbers = count()


@pytest.fixture(scope="session", params=KINDS, ids=lambda kind: kind.name)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    kind: Kind = request.param
    if missing := kind.missing():
        pytest.skip(f"not installed: {', '.join(missing)}")
    with observed(kind, tmp_path_factory.mktemp(kind.name) / "output") as server:
        yield server


@contextmanager
def observed(kind: Kind, output: Path) -> Iterator[Server]:
    """Run a server, and look at what it has printed."""
    with running(kind, output) as server:
        yield server
    printed = output.read_text()
    for mishap in MISHAPS:
        assert mishap not in printed, printed[-OUTPUT_SHOWN:]


@pytest.fixture
def client(server: Server, request: pytest.FixtureRequest) -> Iterator[Client]:
    with server.connect(**getattr(request, "param", {})) as client:
        yield client


@pytest.fixture
def name() -> str:
    """Return a name of the test's own for the server's journal."""
    return f"n{next(_numbers)}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    used = getattr(item, "funcargs", {})
    server = used.get("breaking", used.get("server"))
    if report.failed and isinstance(server, Server):
        printed = server.output.read_text()[-OUTPUT_SHOWN:]
        report.sections.append((f"output of {server.kind.name}", printed))
    return report
