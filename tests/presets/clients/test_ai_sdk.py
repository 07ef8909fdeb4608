"""The AI SDK's own transport reads the streams, in node."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.npm import node
from tests.presets.clients.conftest import Served

pytestmark = pytest.mark.e2e

SCRIPT = Path(__file__).with_name("ai_sdk.mjs")


def read(packages: Path, api: str) -> Any:
    done = subprocess.run(
        [node(), str(SCRIPT), str(packages), api, "one two"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_chat(example: str, npm_packages: Path) -> None:
    read_ = read(npm_packages, f"{example}/api/chat")
    assert read_["headers"]["x-vercel-ai-ui-message-stream"] == "v1"
    assert read_["message"]["id"] == "msg_1"
    assert read_["message"]["parts"] == [{"type": "text", "text": "one two ", "state": "done"}]
    assert read_["errors"] == []


def test_an_error_after_keep_alives(troubled: Served, npm_packages: Path) -> None:
    read_ = read(npm_packages, f"{troubled.url}/ai_sdk/fail/api/chat")
    assert read_["errors"][0] == "The server failed to complete the response."
