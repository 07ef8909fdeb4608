"""Two processes share runs in a file."""

import asyncio
from pathlib import Path

import pytest

from .run_scene import APP, Journal, a_long_answer
from .workers import started

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def test_a_long_answer_whose_pages_come_and_go(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    environment = {
        "HUB_URL": f"sqlite:///{tmp_path / 'answers.db'}",
        "JOURNAL": str(journal.path),
    }
    with started(2, APP, environment, tmp_path) as workers:
        asyncio.run(a_long_answer(workers, journal, "answer", {}))
