"""The written client in node: its parser, its states and its requests."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from sse_middleware.cli.client_stream import ClientStream
from sse_middleware.cli.typescript import javascript_of
from tests.npm import node
from tests.wire.cases import cases_for_clients

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

TESTS = Path(__file__).parent / "node"

STREAMS = {
    "/": ClientStream(),
    "/beating": ClientStream(idle_timeout=0.05),
    "POST /answer": ClientStream(last=("message", "[DONE]")),
}


@pytest.mark.parametrize("path", sorted(TESTS.glob("*.test.mjs")), ids=lambda path: path.name)
def test_the_client_in_node(path: Path, tmp_path: Path) -> None:
    client, cases = tmp_path / "client.mjs", tmp_path / "cases.json"
    client.write_text(javascript_of(STREAMS), "utf-8")
    cases.write_text(json.dumps(cases_for_clients()), "utf-8")
    done = subprocess.run(
        [node(), "--test", "--test-reporter=tap", str(path)],
        env={**os.environ, "CLIENT": client.as_uri(), "CASES": str(cases)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n# pass 0\n" not in done.stdout
