"""The pages of the documentation, and the blocks of code in them."""

import ast
import re
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code."""

    page: Path
    line: int
    language: str
    title: str
    """The name of its file, if the page gives one."""
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Return all pages: those of the site, and the README."""
    others = ROOT / "README.md", ROOT / "benchmarks" / "README.md", ROOT / "CHANGELOG.md"
    return sorted([*DOCS.rglob("*.md"), *others])


def blocks_of(page: Path, *languages: str) -> list[Block]:
    """Return the blocks of a page, all or those in some languages."""
    return [one for one in _blocks(page) if not languages or one.language in languages]


def _blocks(page: Path) -> Iterator[Block]:
    text = page.read_text("utf-8")
    for found in FENCE.finditer(text):
        language, _, rest = found[1].partition(" ")
        title = re.search(r'title="([^"]*)"', rest)
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page, line, language, title[1] if title else "", found[2])


def missing_imports(code: str) -> list[str]:
    """Return the packages that the code imports and that are not in this environment."""
    return sorted(name for name in imported(code) if find_spec(name) is None)


def imported(code: str) -> set[str]:
    """Return the packages that the code imports."""
    names = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
        elif isinstance(node, ast.Import):
            names += [one.name for one in node.names]
    return {name.partition(".")[0] for name in names}


def run_page(
    page: Path, monkeypatch: pytest.MonkeyPatch, *, without: Collection[str] = ()
) -> dict[str, Any]:
    """Run the Python of a page as one module. Returns the names that it defines.

    A block that imports what is not in this environment is left out, and so is one that imports
    something of `without`.
    """
    name = "page_" + re.sub(r"\W", "_", page.relative_to(ROOT).with_suffix("").as_posix())
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    for block in blocks_of(page, "python"):
        if not (missing_imports(block.code) or imported(block.code) & {*without}):
            code = "\n" * block.line + block.code  # so that a traceback has the page's line
            exec(compile(code, str(page), "exec", dont_inherit=True), vars(module))
    return vars(module)
