"""The written client in node, with the application that it was written for."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sse_middleware.cli.targets import streams_of_application
from sse_middleware.cli.typescript import javascript_of
from tests.cli.shop import app
from tests.examples.test_app import serving
from tests.npm import node

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

SCRIPT = Path(__file__).parent / "node" / "shop.mjs"

EXECUTED = {"shares": 1, "limit": None}

READ = [
    [
        "/orders/{number}",
        [
            ["executed", {"order": {"symbol": f"1&2 {kind}", **EXECUTED}, "price": 7}]
            for kind in ("a", "ü")
        ],
    ],
    ["POST /orders", [["executed", {"order": {"symbol": "ACME", **EXECUTED}, "price": 4}]]],
    ["POST /chat", [["message", {"text": "said=[] then=None"}]]],
    ["POST /photos", [["message", "a cat"]]],
    ["POST /answers/{key}", [["message", {"text": text}] for text in ("a", "b", "")]],
    ["/inner/{tenant}/numbers", [["message", 0], ["message", 1]]],
    ["/plain/", [["message", 1]]],
    ["PUT /plain/{a}/{b}", [["message", 1]]],
    ["The server answered with 422, not a stream", ["query", "since"]],
]


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    yield from serving("tests.cli.shop")


def test_every_stream_is_read(shop: str, tmp_path: Path) -> None:
    client = tmp_path / "client.mjs"
    client.write_text(javascript_of(streams_of_application(app)), "utf-8")
    done = subprocess.run(
        [node(), str(SCRIPT)],
        env={**os.environ, "CLIENT": client.as_uri(), "SERVER": shop},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == READ
