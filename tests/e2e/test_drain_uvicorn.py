"""Versions of uvicorn differ in how they stop. Each sends all farewells, and completes each body.

By default this runs the installed version. ``UVICORN_VERSIONS`` names others, which pip installs.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sse_middleware.wire import MessageEvent

from .draining import Way, program, served, streams, uvicorn
from .test_drain import GRACE, SOME, STOPPING, assert_all_got_a_farewell
from .test_drain_without_signal import ask, assert_is_open

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

INSTALLED = "installed"

VERSIONS = [*os.environ.get("UVICORN_VERSIONS", "").split(), INSTALLED]

LIMIT = ("--limit-max-requests", "2")

PROTOCOLS = {"h11": ("--http", "h11", "--loop", "asyncio"), "httptools": ("--http", "httptools")}


@pytest.fixture(scope="module", params=VERSIONS)
def version(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where a version lies."""
    directory = tmp_path_factory.mktemp("uvicorn")
    if request.param != INSTALLED:
        wanted = ["--target", str(directory), f"uvicorn=={request.param}"]
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *wanted]
        subprocess.run(command, check=True)
    return directory


@pytest.fixture(autouse=True)
def _import_it(version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have servers import that version."""
    paths = [str(version), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


def assert_all_get_a_farewell(way: Way, stop: str, output: Path) -> None:
    with (
        served(way, output) as server,
        streams(server.port, *["/stream"] * SOME, "/watching") as open_streams,
    ):
        assert_is_open(open_streams)
        if stop == "signal":
            server.signal(signal.SIGTERM)
        elif stop == "requests":
            ask(server.port)
        else:
            server.say()
        *plain, watching = open_streams
        assert_all_got_a_farewell(plain)
        assert MessageEvent('"bye"') in watching.rest()  # it was told in time to end by itself
        server.exit_code(STOPPING + GRACE)
        assert server.told("closed") == SOME + 1


@pytest.mark.parametrize("stop", ["signal", "requests"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_command(protocol: str, stop: str, tmp_path: Path) -> None:
    limit = LIMIT if stop == "requests" else ()
    way = uvicorn("uvicorn", *PROTOCOLS[protocol], *limit)
    assert_all_get_a_farewell(way, stop, tmp_path / "output")


def test_a_program(tmp_path: Path) -> None:
    assert_all_get_a_farewell(program("should-exit"), "line", tmp_path / "output")
