"""The suites of Starlette and FastAPI pass with the middleware around every application.

The few tests that differ, on purpose, run without it as well: they pass there, so it is the reason.
All others pass with it, and would not show more without it.

The sources come from PyPI in the versions that are installed: `tox run -e peers` pins them. Each
suite runs in a folder of its own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.peers.differences import FASTAPI, NOWHERE, PLACES, SPINS, STARLETTE, outdated, unexpected

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1000)]

PLUGINS = Path(__file__).parent / "plugins"

LIMIT = 900.0
"""Seconds that one run of a suite may take. FastAPI's takes about two minutes."""

FINISHED = (0, 1)
"""What pytest returns when it ran all tests: all passed, some failed."""

# The fewest tests that must pass, so that no run is empty by mistake.
PEERS = {
    "starlette": (STARLETTE, 1350, ()),
    # One worker, since several tests make and remove the same files in the working folder.
    "fastapi": (FASTAPI, 5100, ("-n", "1")),
}


def run_suite(folder: Path, place: str, options: tuple[str, ...]) -> tuple[dict[str, str], str]:
    """Return the outcome of each test, and what pytest printed."""
    written = folder.parent / "outcomes.json"
    plugins = ("-p", "no:cacheprovider", "-p", "around_applications")
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", *plugins, *options]
    done = subprocess.run(
        [*command, f"--basetemp={folder.parent / 'temporary'}"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(PLUGINS),
            "PEER_PLACE": place,
            "PEER_OUTCOMES": str(written),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=LIMIT,
        text=True,
        check=False,
    )
    assert done.returncode in FINISHED, done.stdout
    assert written.exists(), done.stdout  # pytest returns 1 as well if a plugin can't be imported
    return json.loads(written.read_text("utf-8")), done.stdout


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("peer", PEERS)
def test_only_what_is_listed_differs(peer: str, place: str, sources: Callable[[str], Path]) -> None:
    listed, least, options = PEERS[peer]
    if peer == "starlette":
        options += tuple(f"--deselect={test}" for test in SPINS.get(place, ()))
    differences = [one for one in listed if place in one.places]
    outcomes, printed = run_suite(sources(peer), place, options)
    assert not unexpected(outcomes, differences), printed
    assert not outdated(outcomes, differences)
    assert sum(outcome == "passed" for outcome in outcomes.values()) >= least


@pytest.mark.parametrize("peer", [peer for peer, (listed, *_) in PEERS.items() if listed])
def test_what_is_listed_differs_because_of_the_middleware(
    peer: str, sources: Callable[[str], Path]
) -> None:
    listed, _, options = PEERS[peer]
    tests = [test for one in listed for test in one.tests]
    outcomes, printed = run_suite(sources(peer), NOWHERE, (*options, *tests))
    fail_anyway = [one for one in listed if NOWHERE in one.places]
    assert not unexpected(outcomes, fail_anyway), printed
    assert not outdated(outcomes, fail_anyway)
