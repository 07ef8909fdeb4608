"""What a person sees of a page: its screenshots, and what axe finds wrong."""

import os
from pathlib import Path

import pytest

from tests.npm import install

AXE = "axe-core@4.14.1"

VIOLATIONS = """() => axe.run(document).then(({ violations }) => violations.flatMap(
  ({ id, nodes }) => nodes.map(({ html, failureSummary }) => [id, html, failureSummary])
))"""
"""Lists what axe finds wrong: contrast, names for screen readers, landmarks, headings."""

WIDER = "() => document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def axe(pytestconfig: pytest.Config) -> str:
    """Return the script of axe, which checks a page by the rules of WCAG."""
    return (install(pytestconfig, AXE) / "axe-core" / "axe.min.js").read_text("utf-8")


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    """Return the folder of the screenshots: SCREENSHOTS, or pytest's own for this test."""
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
