"""The Python of all pages is type-checked as a reader's program is, in one run of mypy.

Rules of this file:
- The blocks of a page are one module, as a reader has them. A block with a title of its own is
  another file, and so is each of a page's alternatives.
- Each block has the lines that it has on its page, and a message names the page.
- It is mypy's strict mode, with the settings of this project. Some pages have an exception, for a
  reason that is named here. mypy must find something without it. The bodies of functions without
  annotations are checked all the same.
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

OPTIONAL_ANNOTATIONS = (
    "# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, "
    "allow-untyped-decorators"
)
NAMES_DEFINED_ANEW = '# mypy: disable-error-code="no-redef"'

EXCEPTIONS = {
    "docs/migrating.md": (OPTIONAL_ANNOTATIONS, "what its readers have may have none"),
    "docs/openapi.md": (OPTIONAL_ANNOTATIONS, "an endpoint of Starlette has none"),
    "docs/recipes/flask.md": (OPTIONAL_ANNOTATIONS, "asgiref, which it calls, has none"),
    "docs/recipes/llm-chat.md": (NAMES_DEFINED_ANEW, "real models replace the first one"),
    "docs/testing.md": (OPTIONAL_ANNOTATIONS, "tests have none"),
}
"""Pages that are checked less strictly: their settings, and why."""

ALTERNATIVES = {"docs/migrating.md": range(1, 10), "docs/openapi.md": [3]}
"""For pages with alternatives, the blocks that are files of their own."""

BEFORE = {
    "docs/migrating.md": "from fastapi import FastAPI; from sse_middleware import SSEMiddleware; "
    "app = FastAPI()",
}
"""What the reader of a page has before its first block."""

WRONG = {
    "annotated": "def f():\n    return 1\n",
    "unannotated": f"{OPTIONAL_ANNOTATIONS}\ndef f():\n    return 1 + ''\n",
    "of_the_package": "from sse_middleware import Hub\nHub(1)\n",
}
"""Files in which mypy must find a mistake."""

STRICTLY = ", strictly"


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


def text_of(blocks: list[Block], settings: str) -> str:
    """Return a module, in which each block has the lines that it has on its page."""
    page = blocks[0].page
    text = settings
    if blocks[0] == blocks_of(page, "python")[0]:
        text += f"\n{BEFORE.get(name_of(page), '')}"
    for block in blocks:
        text += "\n" * (block.line - text.count("\n")) + block.code
    return text


def write(folder: Path) -> dict[str, str]:
    """Write the files of all pages, and the wrong ones. Returns the pages by the files' names.

    A page with settings of its own is also written without them.
    """
    written = {}
    for page in pages():
        name = name_of(page)
        for number, blocks in enumerate(files_of(page)):
            path = folder / (re.sub(r"\W", "_", name) + f"_{number}.py")
            settings, _ = EXCEPTIONS.get(name, ("", ""))
            path.write_text(text_of(blocks, settings), "utf-8")
            written[path.name] = name
            if settings:
                path = path.with_stem(f"{path.stem}_strictly")
                path.write_text(text_of(blocks, ""), "utf-8")
                written[path.name] = name + STRICTLY
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
    expected = tuple(f"{name}.py:" for name in WRONG)
    found = [line for line in messages if not line.startswith(expected)]
    assert [line for line in found if f"{STRICTLY}:" not in line] == []


@pytest.mark.parametrize(
    "name", [*(f"{one}.py" for one in WRONG), *(f"{one}{STRICTLY}" for one in EXCEPTIONS)]
)
def test_mypy_finds_a_mistake(messages: list[str], name: str) -> None:
    """Mypy works, and each exception is needed."""
    assert [line for line in messages if line.startswith(f"{name}:")] != []
