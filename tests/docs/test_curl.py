"""The blocks that begin with curl run, and print what their pages show."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT, Block, blocks_of, pages, run_page
from tests.docs.serving import served
from tests.must_run import missing

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

SHOWN_HOST = "localhost:8000"

PRINTED = {
    ("docs/hub.md", "publish/room:lobby"): None,
    ("docs/recipes/ndjson.md", "/rows"): 0,
    ("docs/tutorial.md", "/book"): 2,
    ("docs/tutorial.md", "/count"): 0,
}
"""By the page and a part of the address: which text of the page curl prints, if any."""


def with_curl() -> list[Block]:
    shown = [block for page in pages() for block in blocks_of(page, "sh")]
    return [block for block in shown if block.code.startswith("curl ")]


def printed_by(block: Block) -> list[int | None]:
    name = block.page.relative_to(ROOT).as_posix()
    return [
        number for (page, part), number in PRINTED.items() if page == name and part in block.code
    ]


@pytest.mark.parametrize("block", with_curl(), ids=str)
def test_it_prints_what_is_shown(
    block: Block, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        missing("curl")
    [number] = printed_by(block)
    monkeypatch.chdir(tmp_path)  # for the files of the page
    monkeypatch.setenv("PUBLISH_TOKEN", "secret")  # before the page reads it
    names: dict[str, Any] = run_page(block.page, monkeypatch)
    with served(names["app"]) as server:
        code = block.code.replace(SHOWN_HOST, server.url.removeprefix("http://"))
        command = ["bash", "-c", code.replace("curl ", "curl --silent --show-error --fail ", 1)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    if number is not None:
        assert done.stdout == blocks_of(block.page, "text")[number].code
