"""The table of docs/operations.md names tests that exist."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]

DOCUMENT = TESTS.parent / "docs" / "operations.md"


def test_what_begins_a_drain_names_tests_that_exist() -> None:
    _, _, table = DOCUMENT.read_text("utf-8").partition("### What begins a drain")
    names = set(re.findall(r"`((?:test_|Test)\w+)`", table.partition("\n## ")[0]))
    defined = {
        name
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(r"(?:def|class) (\w+)", path.read_text("utf-8"))
    }
    assert len(names) >= 8
    assert names <= defined
