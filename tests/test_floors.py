"""The plan of the house: which package may import which, and that importing only defines things.

`docs/architecture.md` shows the plan as a picture, which is drawn from the imports themselves.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sse_middleware

MAY_IMPORT = {
    "errors": [],
    "records": [],
    "event_loop": [],
    "introspection": [],
    "validation": ["errors"],
    "wire": ["errors"],
    "events": ["wire"],
    "shutdown": ["event_loop"],
    "presets": ["validation", "events", "records"],
    "settings": ["presets"],
    "items": ["settings"],
    "registry": ["settings", "shutdown", "introspection"],
    "stream": ["registry"],  # never items: the encoder is a protocol in stream.abc
    "running_request": ["settings"],
    "content": [],
    "guarded": ["errors"],
    "hub": ["stream", "items", "content", "guarded", "running_request"],
    "request_context": ["stream", "items", "running_request"],
    "hub_content": ["request_context", "hub"],
    "relaying": ["stream", "items"],
    "response": ["hub_content", "relaying"],
    "endpoint": ["response"],
    "legacy": ["response"],
    "compat": ["response"],
    "stats_endpoint": ["response"],
    "inspector": ["response"],
    "discovery": ["endpoint"],
    "openapi": ["discovery"],
    "middleware": ["legacy", "openapi"],
    "cli": ["middleware"],
    "observers": ["records", "errors"],
    "testing": ["events"],
    "pytest_plugin": ["testing"],
    "__main__": ["cli"],
}
"""For each package or module of the root: those that it may import, and what they may import."""

ONLY = {
    "stream.producers": {"hub", "response", "compat"},
}
"""Modules with few importers outside of their package."""

STARLETTE = {"anyio", "asgiref", "pydantic", "starlette"}
OUTSIDE = {
    "wire": {"pydantic_core", "starlette"},  # JSON; types
    "event_loop": {"anyio", "trio"},  # trio inside a function: it is optional
    "introspection": {"starlette"},
    "events": {"pydantic", "pydantic_core", "typing_extensions"},
    "presets": {"pydantic_core"},
    "settings": {"starlette"},  # types
    "items": {"pydantic", "pydantic_core", "typing_extensions"},
    "shutdown": {"trio"},  # as above
    "registry": {"anyio", "starlette"},
    "stream": {"anyio", "asgiref", "starlette"},
    "hub": {"anyio", "pydantic_core", "starlette"},
    "hub.redis": {"redis"},
    "request_context": {"anyio", "starlette"},
    "running_request": {"starlette"},  # types
    "content": {"pydantic"},
    "guarded": {"starlette"},
    "hub_content": {"starlette"},
    "relaying": {"anyio", "starlette"},
    "response": {"pydantic", "starlette"},
    "endpoint": {"anyio", "starlette"},
    "legacy": {"anyio", "asgiref", "pydantic_core", "starlette"},
    "compat": {"anyio", "starlette"},
    "stats_endpoint": {"anyio", "starlette"},
    "inspector": {"anyio", "starlette"},
    "openapi": {"fastapi", "pydantic", "starlette"},  # FastAPI inside functions, as trio
    "middleware": {"asgiref", "starlette"},
    "cli": {"pydantic", "typing_extensions"},
    "cli.tail": {"anyio", "httpx"},
    "observers": {"opentelemetry"},
    "testing": {"anyio", "httpx", "starlette", "trio"},
    "pytest_plugin": {"pytest"},
}
"""What of other projects each may import. A part of a package may import more than the rest."""

LONGEST = 350
"""Lines of a file."""

CALLED_AT_IMPORT = {
    "logging.getLogger": "a logger is the interpreter's, looked up by its name",
    "SchemaSerializer": "compiled once, holds nothing of what it serialises",
    "SchemaValidator": "compiled once, holds nothing of what it validates",
    "any_schema": "an argument of the above",
    "model_schema": "an argument of the above",
    "CoreConfig": "an argument of the above",
    "re.compile": "a pattern",
    "frozenset": "can't change",
    "TypeVar": "a type",
    "Preset": "frozen",
    "ServerSentEvent": "frozen",
    "Keep": "frozen",
    "Position": "frozen",
    "attrgetter": "a function",
    "itemgetter": "a function",
    "find_spec": "whether trio is there",
    "ContextVar": "each context has a value of its own",
    "RunVar": "each event loop has a value of its own, which ends with it",
}
TESTED_AT_IMPORT = {"TYPE_CHECKING", "__name__ == '__main__'"}
CONSTANTS = {
    "__all__": "Python wants a list",
    "_SSE_EVENT_SCHEMA": "FastAPI's name and type: a fragment for its OpenAPI document",
}

PACKAGE = Path(sse_middleware.__file__).parent
DOCS = Path(__file__).parents[1] / "docs"
FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


TREES = {module_of(path): ast.parse(path.read_text("utf-8"), path) for path in FILES}
each_module = pytest.mark.parametrize("module", [name for name in TREES if name != "__init__"])


def imports(tree: ast.AST) -> Iterator[str]:
    """Full names, of every import at any depth; relative ones don't occur."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def room(module: str) -> str:
    return module.partition(".")[0]


def outside(module: str) -> set[str]:
    """What of other projects a module may import."""
    return {
        name
        for part, names in OUTSIDE.items()
        if f"{module}.".startswith(f"{part}.")
        for name in names
    }


def below(name: str) -> set[str]:
    """The packages that one may import, whichever way."""
    found = {name}
    for other in MAY_IMPORT[name]:
        found |= below(other)
    return found


def mutable(value: ast.AST) -> Iterator[str]:
    """What in an expression makes an object that can change, or may do anything: calls."""
    if isinstance(value, ast.Subscript | ast.Lambda):  # types; not evaluated
        return
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "MappingProxyType":
        return  # a table that nobody can change
    if isinstance(value, ast.Call) and ast.unparse(value.func) not in CALLED_AT_IMPORT:
        yield ast.unparse(value)
    if isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp):
        yield ast.unparse(value)
    for child in ast.iter_child_nodes(value):
        yield from mutable(child)


def test_every_module_has_its_place() -> None:
    assert {room(module) for module in TREES} - {"__init__"} == MAY_IMPORT.keys()


def test_nothing_of_the_plan_is_unused() -> None:
    used = {
        (room(module), room(name.removeprefix("sse_middleware.")))
        for module, tree in TREES.items()
        for name in imports(tree)
        if name.startswith("sse_middleware.")
    }
    allowed = {(room, other) for room, others in MAY_IMPORT.items() for other in others}
    assert allowed <= used


@each_module
def test_imports_only_go_down(module: str) -> None:
    allowed = below(room(module))
    for name in imports(TREES[module]):
        package, _, rest = name.partition(".")
        if package == "sse_middleware":
            assert room(rest) in {*allowed, "__version__"}, name
            for only, importers in ONLY.items():
                if f"{rest}.".startswith(f"{only}."):
                    assert room(module) in importers | {room(only)}, name
        else:
            assert package in sys.stdlib_module_names | outside(module), name


@each_module
def test_within_a_package_imports_make_no_circle(module: str) -> None:
    waiting, seen = [module], set[str]()
    while waiting:
        current = waiting.pop()
        for name in imports(TREES[current]):
            imported = name.removeprefix("sse_middleware.").rpartition(".")[0]
            if room(imported) == room(module) and imported in TREES and imported not in seen:
                seen.add(imported)
                waiting.append(imported)
    assert module not in seen


def test_the_picture_in_the_documents_matches_the_code() -> None:
    subprocess.run([sys.executable, DOCS / "draw_architecture.py", "--check"], check=True)


def test_each_package_has_a_heading_in_the_documents() -> None:
    headings = re.findall(
        r"^## (\S+)$", (DOCS / "architecture.md").read_text("utf-8"), re.MULTILINE
    )
    assert set(headings) == {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_no_file_is_long(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= LONGEST


@pytest.mark.parametrize("optional", ["trio", "fastapi"])
def test_an_optional_package_is_only_imported_where_it_is_used(optional: str) -> None:
    for tree in TREES.values():
        at_import = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert not [
            name
            for node in at_import
            for name in imports(node)
            if name.partition(".")[0] == optional
        ]


@each_module
def test_importing_a_module_only_defines_things(module: str) -> None:
    imported = (ast.Import, ast.ImportFrom)
    defined = (*imported, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in TREES[module].body:
        if isinstance(node, ast.Expr):
            assert isinstance(node.value, ast.Constant), ast.unparse(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if ast.unparse(target) not in CONSTANTS and node.value is not None:
                assert not list(mutable(node.value)), ast.unparse(node)
        elif isinstance(node, ast.Try):  # an extra that is missing: the error says which
            assert all(isinstance(tried, imported) for tried in node.body)
            assert all(isinstance(step, ast.Raise) for one in node.handlers for step in one.body)
        elif not (isinstance(node, ast.If) and ast.unparse(node.test) in TESTED_AT_IMPORT):
            assert isinstance(node, defined), ast.unparse(node)


@each_module
def test_no_module_changes_its_own_names_later(module: str) -> None:
    assert not [node for node in ast.walk(TREES[module]) if isinstance(node, ast.Global)]


def test_nothing_is_called_utils() -> None:
    assert not [path for path in FILES if "util" in path.stem]
