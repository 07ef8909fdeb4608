"""The code in the docstrings of the package, which the reference shows, can be read by Python.

It is parts of programs, so it can't run.
"""

import ast
import re
from collections.abc import Iterator
from textwrap import dedent, indent

import pytest

from tests.docs.pages import ROOT

BLOCK = re.compile(r"^(?: *|.*\S)::\n\n((?: {4,}.*\n?|\n)+)", re.MULTILINE)

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def docstrings() -> Iterator[tuple[str, str]]:
    """Yield all docstrings, each with its file."""
    for path in sorted((ROOT / "sse_middleware").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, DOCUMENTED):
                yield path.relative_to(ROOT).as_posix(), ast.get_docstring(node) or ""


SHOWN = [
    pytest.param(dedent(code), id=path)
    for path, text in docstrings()
    for code in BLOCK.findall(text)
]


def read(code: str) -> None:
    """Parse code that may be a part of an asynchronous function."""
    compile(f"async def part():\n{indent(code, '    ')}", "docstring", "exec")


@pytest.mark.parametrize("code", SHOWN)
def test_python_reads_it(code: str) -> None:
    read(code)


def test_python_refuses_what_it_cannot_read() -> None:
    with pytest.raises(SyntaxError):
        read("return(")


def test_each_block_is_found() -> None:
    marks = [mark for _, text in docstrings() for mark in re.findall(r"::$", text, re.MULTILINE)]
    assert len(SHOWN) == len(marks) > 0
