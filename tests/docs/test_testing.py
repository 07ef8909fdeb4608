"""The test that docs/testing.md shows passes, on asyncio and on trio."""

import subprocess
import sys
from pathlib import Path

from tests.docs.pages import DOCS, blocks_of


def test_the_test_of_an_endless_stream(tmp_path: Path) -> None:
    [block] = blocks_of(DOCS / "testing.md", "python")
    (tmp_path / "test_it.py").write_text(block.code, "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
