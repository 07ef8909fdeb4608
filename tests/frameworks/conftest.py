"""Each application is started once, bare and in each place of the middleware."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.frameworks.running import Running, running

Serve = Callable[[str, str], Running]

MISHAPS = ["never retrieved", "never awaited", "cleanup_timeout", "Task was destroyed"]
"""What no application may have printed by its end, whatever its clients did."""


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Return a function that starts an application, unless it runs already, given its place."""
    started: dict[tuple[str, str], Running] = {}
    with ExitStack() as stack:

        def served(name: str, where: str) -> Running:
            if (name, where) not in started:
                output = tmp_path_factory.mktemp(name) / where
                started[name, where] = stack.enter_context(running(name, where, output))
            return started[name, where]

        yield served
    for (_, where), one in started.items():
        written = one.output.read_text()
        for mishap in MISHAPS:
            assert where == "nowhere" or mishap not in written, written
