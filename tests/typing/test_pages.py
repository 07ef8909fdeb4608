"""The Python of all pages is type-checked as a reader's program is, in one run of mypy.

Rules of this file:
- The blocks of a page are one module, as a reader has them. A block with a title of its own is
  another file, and so is each of a page's alternatives.
- Each block has the lines that it has on its page, and a message names the page.
- It is mypy's strict mode, with the settings of this project. Some pages leave annotations out, for
  a reason that is named here. There the bodies of functions are checked all the same.
"""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, blocks_of, missing_imports, pages
from tests.must_run import missing

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

UNANNOTATED = {
    "docs/migrating.md": "it begins with what readers have, which may have no annotations",
    "docs/openapi.md": "an endpoint of Starlette has none",
    "docs/recipes/flask.md": "asgiref, which it calls, has none",
    "docs/testing.md": "tests have none",
}
"""Pages that show functions without annotations, and why."""

ALTERNATIVES = {"docs/migrating.md": range(1, 10), "docs/openapi.md": [3]}
"""For pages with alternatives, the blocks that are files of their own."""

REPLACED = {"docs/recipes/llm-chat.md": "its real models take the place of the first one"}
"""Pages that define a name anew, and why."""

BEFORE = {
    "docs/migrating.md": "from fastapi import FastAPI; from sse_middleware import SSEMiddleware; "
    "app = FastAPI()",
}
"""What the reader of a page has before its first block."""

ANNOTATIONS_OPTIONAL = (
    "# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, "
    "allow-untyped-decorators"
)

WRONG = {
    "annotated": "def f():\n    return 1\n",
    "unannotated": f"{ANNOTATIONS_OPTIONAL}\ndef f():\n    return 1 + ''\n",
    "of_the_package": "from sse_middleware import Hub\nHub(1)\n",
}
"""Files in which mypy must find a mistake."""


def files_of(page: Path) -> list[list[Block]]:
    """Return the blocks of a page, by the files that the reader has."""
    shown = blocks_of(page, "python")
    alone = ALTERNATIVES.get(name_of(page), ())
    found = defaultdict(list)
    for number, block in enumerate(shown):
        found[number if number in alone else block.title or shown[0].title].append(block)
    return list(found.values())


def name_of(page: Path) -> str:
    """Return a page's path in the project."""
    return page.relative_to(ROOT).as_posix()


def text_of(blocks: list[Block]) -> str:
    """Return a module, in which each block has the lines that it has on its page."""
    page = blocks[0].page
    name = name_of(page)
    text = ANNOTATIONS_OPTIONAL if name in UNANNOTATED else ""
    text += '# mypy: disable-error-code="no-redef"' if name in REPLACED else ""
    if blocks[0] == blocks_of(page, "python")[0]:
        text += f"\n{BEFORE.get(name, '')}"
    for block in blocks:
        text += "\n" * (block.line - text.count("\n")) + block.code
    return text


def write(folder: Path) -> dict[str, str]:
    """Write the files of all pages, and the wrong ones. Returns the pages by the files' names."""
    written = {}
    for page in pages():
        for number, blocks in enumerate(files_of(page)):
            path = folder / (re.sub(r"\W", "_", name_of(page)) + f"_{number}.py")
            path.write_text(text_of(blocks), "utf-8")
            written[path.name] = name_of(page)
    for name, text in WRONG.items():
        (folder / f"{name}.py").write_text(text, "utf-8")
    return written


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return what mypy says of all pages and of the wrong files."""
    codes = [block.code for page in pages() for block in blocks_of(page, "python")]
    absent = {name for code in codes for name in missing_imports(code)}
    if absent:
        missing(", ".join(sorted(absent)))
    folder = tmp_path_factory.mktemp("pages")
    written = write(folder)
    command = [sys.executable, "-m", "mypy", "--hide-error-context", "--no-error-summary"]
    done = subprocess.run(  # with the package, since its results are there from the run before
        [*command, "sse_middleware", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return [of_page(line, written) for line in done.stdout.splitlines()]


def of_page(line: str, written: dict[str, str]) -> str:
    """Return a message in which the file is the page."""
    path, colon, rest = line.partition(":")
    name = Path(path).name
    return f"{written.get(name, name)}{colon}{rest}"


def test_mypy_finds_no_mistake(messages: list[str]) -> None:
    wrong = tuple(f"{name}.py:" for name in WRONG)
    assert [line for line in messages if not line.startswith(wrong)] == []


@pytest.mark.parametrize("name", WRONG)
def test_mypy_finds_a_mistake(messages: list[str], name: str) -> None:
    assert [line for line in messages if line.startswith(f"{name}.py:")] != []
