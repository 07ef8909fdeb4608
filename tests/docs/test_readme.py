"""The examples of the README work."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def code_under(heading: str) -> str:
    section = (ROOT / "README.md").read_text("utf-8").partition(f"## {heading}\n")[2]
    block = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert block, heading
    return block[1]


def test_the_test_of_an_endless_stream(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(code_under("Test your streams"), "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout  # on asyncio and on trio
